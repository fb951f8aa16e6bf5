import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, suite, test } from 'node:test';
import { isDeepStrictEqual, promisify } from 'node:util';
import { until } from '../base/until.ts';
import { ensureImages, type PreparedImages } from '../images/index.ts';
import { TestContainerd } from './containerd.fixture.ts';
import { prepareContainerdRoot, usersOf } from './root.ts';

const run = promisify(execFile);
const BUSYBOX = 'docker.io/library/busybox:latest';

/** Every file of a prepared root with all that a write would change. */
async function stateOf({ folder }: PreparedImages): Promise<string> {
  const { stdout } = await run('find', [join(folder, 'containerd'), '-printf', '%P %y %m %s %C@ %l\n'], {
    maxBuffer: 64 << 20,
  });
  return stdout;
}

suite('containerd on prepared images', { timeout: 180_000 }, () => {
  let prepared: PreparedImages;
  before(async () => {
    prepared = await ensureImages({ cache: '/var/cache/enid' });
  });

  test('two nodes run containers of the same images, and neither sees what the other writes', async () => {
    const before = await stateOf(prepared);
    await using one = await TestContainerd.start(prepared);
    {
      await using two = await TestContainerd.start(prepared);
      const write = 'echo mine > /etc/passwd; echo mine > /new; cat /etc/passwd /new; rm /bin/ls';
      const read = 'cat /etc/passwd; ls /new 2>&1';
      const [wrote, seen] = await Promise.all([
        one.inContainer(BUSYBOX, 'sh', '-c', write),
        two.inContainer(BUSYBOX, 'sh', '-c', read).catch((error) => error.stdout),
      ]);
      assert.equal(wrote, 'mine\nmine\n');
      assert.match(seen, /^root:x:0:0.*\n.*\nls: \/new: No such file/);
      // An image that one node removes is there for the other, and in the cache.
      await two.ctr('images', 'rm', '--sync', ...prepared.images.flatMap(({ names, id }) => [...names, id]));
      assert.equal(
        (await readdir(join(two.root, 'io.containerd.content.v1.content/blobs/sha256'))).length,
        0,
      );
      assert.deepEqual((await usersOf(prepared.folder)).includes(two.root), true);
    }
    assert.match(await one.inContainer(BUSYBOX, 'ls', '/etc'), /passwd/);
    assert.equal(await stateOf(prepared), before);
  });

  test('CRI knows every image by its names and its ID, and a restart keeps them', async () => {
    await using first = await TestContainerd.start(prepared);
    const expected = prepared.images.flatMap(({ names, id }) => [...names, id]).sort();
    const known = async (containerd: TestContainerd) => {
      const rows = (await containerd.ctr('images', 'ls')).trim().split('\n').slice(1);
      return rows
        .filter((row) => row.includes('io.cri-containerd.image=managed'))
        .map((row) => row.split(/\s/)[0])
        .sort();
    };
    const knows = (containerd: TestContainerd, names: string[]) =>
      until(
        () => known(containerd),
        (found) => isDeepStrictEqual(found, names),
        'CRI to know its images',
      );
    await knows(first, expected);
    await first.ctr('images', 'tag', BUSYBOX, 'example.com/mine:1');
    await first.stop();
    const second = await TestContainerd.start(prepared, first.folder);
    try {
      await knows(second, [...expected, 'example.com/mine:1'].sort());
    } finally {
      await second.stop();
    }
  });

  test('a root costs links and two small files, and is told to the cache until it is gone', async () => {
    const containerd = await TestContainerd.start(prepared);
    await containerd.stop();
    const snapshots = join(containerd.root, 'io.containerd.snapshotter.v1.overlayfs/snapshots');
    for (const name of await readdir(snapshots))
      assert.ok((await lstat(join(snapshots, name))).isSymbolicLink());
    const started = performance.now();
    await prepareContainerdRoot({ prepared, root: `${containerd.folder}/other` });
    assert.ok(performance.now() - started < 500, `it took ${performance.now() - started} ms`);
    assert.ok((await usersOf(prepared.folder)).includes(`${containerd.folder}/other`));
    await containerd[Symbol.asyncDispose]();
    const users = await usersOf(prepared.folder);
    assert.deepEqual(
      users.filter((root) => root.startsWith(containerd.folder)),
      [],
    );
  });

  test('the images hold what they promise', async () => {
    await using containerd = await TestContainerd.start(prepared);
    const within = (image: string, script: string) => containerd.inContainer(image, 'sh', '-ec', script);

    assert.match(
      await within('docker.io/library/nginx:1.27', 'nginx; curl -s localhost; curl -sI localhost'),
      /Welcome to nginx![\s\S]*HTTP\/1.1 200 OK/,
    );
    const tools = [
      ...[
        'dig -v',
        'tcpdump --version',
        'curl --version',
        'ip -V',
        'ping -V',
        'nft --version',
        'nc -h',
        'jq --version',
      ],
      ...['socat -V', 'conntrack --version', 'iperf3 --version', 'traceroute --version', 'strace --version'],
      ...[
        'less --version',
        'vi --version',
        'ps --version',
        'ethtool --version',
        'iptables --version',
        'bash --version',
      ],
    ];
    await within(
      'docker.io/nicolaka/netshoot:latest',
      tools.map((tool) => `${tool} >/dev/null 2>&1 || { echo "${tool}"; exit 1; }`).join('\n'),
    );
    assert.equal(
      await within(
        'registry.k8s.io/e2e-test-images/agnhost:2.53',
        `/agnhost netexec --http-port 80 --udp-port 81 --tcp-port 83 2>/dev/null &
        for try in $(seq 500); do wget -qO- 127.0.0.1/healthz 2>/dev/null && break; usleep 10000; done
        wget -qO- '127.0.0.1/dial?host=127.0.0.1&port=81&protocol=udp&request=echo%20hello'; echo
        printf 'echo one\\nclientip\\necho two\\n' | nc 127.0.0.1 83 | sed 's/:[0-9]*$//'
        /agnhost connect 127.0.0.1:80 --timeout 1s; echo $?
        /agnhost connect 127.0.0.1:82 --timeout 1s 2>&1 || true`,
      ),
      '{"responses":["hello"]}\none\n127.0.0.1\ntwo\n0\nREFUSED: Connection refused\n',
    );
    const enid = 'public.ecr.aws/enid/enid:latest';
    const cli = await within(
      enid,
      'enid --version; nft list ruleset; install -m 0755 /opt/enid/aws-cni /mnt/; CNI_COMMAND=VERSION /mnt/aws-cni </dev/null',
    );
    assert.match(cli, /^\d+\.\d+\.\d+\n.*"supportedVersions"/s);
  });

  test('its configuration is read as it was meant', async () => {
    await using containerd = await TestContainerd.start(prepared);
    const config = await readFile(join(containerd.folder, 'config.toml'), 'utf8');
    const { stdout } = await run('containerd', [
      '--config',
      join(containerd.folder, 'config.toml'),
      'config',
      'dump',
    ]);
    assert.match(stdout, /sandbox_image = "registry.k8s.io\/pause:3.9"/);
    assert.match(stdout, /SystemdCgroup = false/);
    const plugins = await containerd.ctr('plugins', 'ls');
    const failed = plugins.split('\n').filter((row) => / error$/.test(row.trim()));
    assert.deepEqual(failed, [], config);
  });
});
