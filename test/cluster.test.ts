import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { machineNetwork, processesOf, processOf, type Result, run, tracesOf } from './enid.ts';
import { GIVEN } from './given.ts';
import { type Kubectl, kubectls } from './kubectl.ts';
import { GATE, readinessWebhook } from './readiness-webhook.ts';
import { until } from './until.ts';

const NAME = 'clustertest';

let kubeconfig: string;
let clients: Kubectl[];
let network: string;
/** Milliseconds until the cluster was up. */
let took: number;

before(async () => {
  if (GIVEN) kubeconfig = GIVEN;
  else {
    await run('lab', 'down', '--name', NAME);
    network = machineNetwork();
    const started = performance.now();
    const up = await run('lab', 'up', '--name', NAME, '--nodes', '2', '--set', 'IP_COOLDOWN_PERIOD=5');
    assert.equal(up.status, 0, up.stderr);
    took = performance.now() - started;
    const [, file] = /^export KUBECONFIG=(\S+)$/m.exec(up.stdout) ?? [];
    assert.ok(file, up.stdout);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    kubeconfig = file;
  }
  clients = await kubectls(kubeconfig);
});
after(async () => {
  if (GIVEN) return;
  await run('lab', 'down', '--name', NAME);
  assert.deepEqual(tracesOf(NAME), []);
  assert.equal(machineNetwork(), network);
  assert.ok(!existsSync(kubeconfig), 'the kubeconfig is gone with its cluster');
});

const deployment = (namespace: string, replicas: number, more = {}) =>
  JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'net', namespace },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'net' } },
      template: {
        metadata: { labels: { app: 'net' } },
        spec: {
          terminationGracePeriodSeconds: 1,
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: 'kubernetes.io/hostname',
              whenUnsatisfiable: 'DoNotSchedule',
              labelSelector: { matchLabels: { app: 'net' } },
            },
          ],
          containers: [
            {
              name: 'net',
              image: 'nicolaka/netshoot',
              command: ['sh', '-c', 'echo begun; sleep infinity & wait'],
            },
          ],
          ...more,
        },
      },
    },
  });

test('every kubectl does its work on a Deployment of three pods', async (t) => {
  for (const kubectl of clients) {
    await t.test(`kubectl ${kubectl.version}`, async (t) => {
      const namespace = `kubectl-${kubectl.version.replace(/\D+/g, '-')}`;
      const k = (...args: string[]) => kubectl.run('-n', namespace, ...args);
      await kubectl.run('create', 'namespace', namespace);
      t.after(() => kubectl.run('delete', 'namespace', namespace));
      await until(() => k('get', 'serviceaccount', 'default'));

      const applied = await kubectl.with(deployment(namespace, 3), 'apply', '-f', '-');
      assert.equal(applied.stdout, 'deployment.apps/net created\n', applied.stderr);
      assert.match(await k('rollout', 'status', 'deployment/net'), /successfully rolled out/);
      const pods = (
        await k(
          'get',
          'pods',
          '-o',
          'jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {.spec.nodeName}{"\\n"}{end}',
        )
      )
        .trim()
        .split('\n')
        .map((line) => line.split(' ') as [name: string, address: string, node: string]);
      assert.equal(pods.length, 3);
      assert.equal(new Set(pods.map(([, , node]) => node)).size, 2, 'they are spread over the nodes');
      const [first, , nodeOfFirst] = pods[0]!;
      const other = pods.find(([, , node]) => node !== nodeOfFirst)!;

      const wide = await k('get', 'pods', '-o', 'wide');
      for (const [name, address, node] of pods) {
        assert.match(
          wide,
          new RegExp(
            `^${name} +1/1 +Running +0 +\\S+ +${RegExp.escape(address)} +${RegExp.escape(node)} `,
            'm',
          ),
        );
      }
      const described = await k('describe', 'pod', first);
      for (const words of [/^Status: +Running$/m, /Successfully assigned/, /Started container/]) {
        assert.match(described, words);
      }
      assert.equal(await k('logs', first), 'begun\n');
      assert.match(await k('exec', first, '--', 'ping', '-c', '1', '-W', '2', other[1]), /1 received/);

      await t.test('exec tells the status of the command, and takes its input', async () => {
        assert.equal(
          (await kubectl.with('', '-n', namespace, 'exec', first, '--', 'sh', '-c', 'exit 7')).status,
          7,
        );
        const echoed = await kubectl.with('hello\n', '-n', namespace, 'exec', '-i', first, '--', 'cat');
        assert.equal(echoed.stdout, 'hello\n');
      });
      await t.test('exec has a terminal, which is resized with the one outside', async () => {
        const inside =
          'for size in "0 0" "20 50"; do while [ "$(stty size)" = "$size" ]; do sleep 0.1; done; stty size; done';
        const command = `stty rows 20 cols 50; (sleep 1; stty rows 33 cols 77 </dev/tty) & exec "$KUBECTL" -n ${namespace} exec -it ${first} -- sh -c '${inside}'`;
        const child = spawn('script', ['-qec', `sh -c ${quoted(command)}`, '/dev/null'], {
          env: { ...kubectl.env, KUBECTL: kubectl.path, SHELL: '/bin/sh' },
          stdio: ['pipe', 'pipe', 'pipe'],
        });
        let printed = '';
        child.stdout.setEncoding('utf8').on('data', (text) => {
          printed += text;
        });
        await once(child, 'close');
        assert.deepEqual(printed.match(/\d+ \d+/g), ['20 50', '33 77'], printed);
      });
      await t.test('attach joins what runs, and gives it its input', async () => {
        const args = ['run', 'talk', '--image=nicolaka/netshoot', '--restart=Never', '-i', '--rm'];
        const talked = await kubectl.with('hello\n', '-n', namespace, ...args, '--', 'cat');
        assert.equal(talked.status, 0, talked.stderr);
        assert.match(talked.stdout, /^hello$/m);
      });
      await t.test('logs -f follows, and get -w watches', async () => {
        const watched = kubectl.start('-n', namespace, 'get', 'pods', '-w');
        const followed = kubectl.start('-n', namespace, 'logs', '-f', first);
        await seen(followed, /begun/);
        for (const [name] of pods) await seen(watched, new RegExp(name));
        await k('exec', first, '--', 'sh', '-c', 'echo more >/proc/1/fd/1');
        await seen(followed, /more/);
        await k('label', 'pod', first, 'seen=yes');
        await seen(watched, new RegExp(first));
        for (const child of [watched, followed]) {
          child.kill();
          await once(child, 'close');
        }
      });
      await t.test('cp goes both ways', async (t) => {
        const folder = mkdtempSync(join(tmpdir(), 'enid-cp-'));
        t.after(() => rmSync(folder, { recursive: true }));
        const content = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7919) & 255));
        writeFileSync(join(folder, 'there'), content);
        await k('cp', join(folder, 'there'), `${first}:/tmp/there`);
        await k('cp', `${first}:/tmp/there`, join(folder, 'back'));
        assert.ok(readFileSync(join(folder, 'back')).equals(content));
      });
      await t.test('port-forward reaches what listens in the pod', async () => {
        await k(
          'exec',
          first,
          '--',
          'sh',
          '-c',
          'socat TCP-LISTEN:8080,fork,reuseaddr EXEC:hostname >/dev/null 2>&1 &',
        );
        const child = kubectl.start('-n', namespace, 'port-forward', first, ':8080');
        const [, port] = await seen(child, /127\.0\.0\.1:(\d+) -> 8080/);
        const reply = spawn('bash', ['-c', `cat </dev/tcp/127.0.0.1/${port}`], { stdio: 'pipe' });
        await seen(reply, new RegExp(first));
        child.kill();
        await once(child, 'close');
      });
      await t.test('scale, a new revision, and back again', async () => {
        await k('scale', 'deployment/net', '--replicas=4');
        await k('rollout', 'status', 'deployment/net');
        assert.equal(await k('get', 'deployment', 'net', '-o', 'jsonpath={.status.readyReplicas}'), '4');
        await k('set', 'env', 'deployment/net', 'REVISION=2');
        await k('rollout', 'status', 'deployment/net');
        const revision = () => k('exec', 'deployment/net', '--', 'sh', '-c', 'echo "$REVISION"');
        // Pods that are on their way out may still be asked.
        await until(async () => assert.equal(await revision(), '2\n'));
        await k('rollout', 'undo', 'deployment/net');
        await k('rollout', 'status', 'deployment/net');
        await until(async () => assert.equal(await revision(), '\n'));
        assert.match(await k('rollout', 'history', 'deployment/net'), /^3 /m);
      });
      await t.test('two who apply the same field are in conflict', async () => {
        const manifest = (replicas: number) =>
          JSON.stringify({
            apiVersion: 'apps/v1',
            kind: 'Deployment',
            metadata: { name: 'net', namespace },
            spec: { replicas },
          });
        const options = ['--server-side', '--validate=false'];
        const apply = (manager: string, replicas: number, ...more: string[]) =>
          kubectl.with(
            manifest(replicas),
            'apply',
            ...options,
            `--field-manager=${manager}`,
            '-f',
            '-',
            ...more,
          );
        assert.equal((await apply('one', 2, '--force-conflicts')).status, 0);
        const conflict = await apply('two', 3);
        assert.equal(conflict.status, 1);
        assert.match(conflict.stderr, /conflict with "one".*\.spec\.replicas/s);
        assert.equal((await apply('two', 3, '--force-conflicts')).status, 0);
      });
      await t.test('events tell what was done, and what cannot be done', async () => {
        assert.match(await k('get', 'events'), /ScalingReplicaSet/);
        await k('run', 'strange', '--image=example.com/no/such:1', '--restart=Never');
        await until(async () =>
          assert.match(await k('get', 'pod', 'strange'), /ErrImagePull|ImagePullBackOff/),
        );
        if (GIVEN) return;
        assert.match(
          await k('describe', 'pod', 'strange'),
          /nicolaka\/netshoot/,
          'it is said which images there are',
        );
      });
      await k('delete', 'deployment', 'net');
      await until(async () => assert.doesNotMatch(await k('get', 'pods'), /^net-/m));
    });
  }
});

test('a container can join a pod that runs, to look at its network', async (t) => {
  const kubectl = clients.find(({ version }) => Number(version.split('.')[1]) >= 30);
  if (!kubectl) return t.skip('there is no kubectl that knows debug profiles');
  await kubectl.run('run', 'bare', '--image=registry.k8s.io/pause:3.9', '--restart=Never');
  await kubectl.run('wait', '--for=condition=Ready', 'pod/bare');
  const options = ['--image=nicolaka/netshoot', '--profile=general', '--container=look', '--attach=false'];
  await kubectl.run('debug', 'bare', ...options, '--', 'ip', '-o', '-4', 'address');
  const address = await kubectl.run('get', 'pod', 'bare', '-o', 'jsonpath={.status.podIP}');
  await until(async () =>
    assert.match(await kubectl.run('logs', 'bare', '-c', 'look'), new RegExp(`eth0 .*${address}/32`)),
  );
  await kubectl.run('delete', 'pod', 'bare', '--grace-period=1');
});

test('a webhook in a pod gives pods a readiness gate, and whoever opens it puts them into their Service', async (t) => {
  const kubectl = clients.find(({ version }) => Number(version.split('.')[1]) >= 30);
  if (!kubectl) return t.skip('there is no kubectl that patches statuses');
  const namespace = 'gates';
  const k = (...args: string[]) => kubectl.run('-n', namespace, ...args);
  const { server, configuration } = await readinessWebhook(namespace);
  await kubectl.run('create', 'namespace', namespace);
  t.after(async () => {
    await kubectl.run('delete', 'mutatingwebhookconfiguration', `hook-${namespace}`, '--ignore-not-found');
    await kubectl.run('delete', 'namespace', namespace);
  });
  await until(() => k('get', 'serviceaccount', 'default'));
  await kubectl.with(server, 'apply', '-f', '-');
  await k('rollout', 'status', 'deployment/hook');
  const configured = await kubectl.with(configuration, 'apply', '-f', '-');
  assert.equal(configured.status, 0, configured.stderr);

  const create = (name: string) =>
    kubectl.with(
      '',
      '-n',
      namespace,
      'run',
      name,
      '--image=registry.k8s.io/pause:3.9',
      '--labels=gated=true,app=gated',
    );
  const created = await create('gated');
  assert.equal(created.status, 0, created.stderr);
  assert.equal(
    await k('get', 'pod', 'gated', '-o', 'jsonpath={.spec.readinessGates[*].conditionType}'),
    GATE,
  );
  await k('expose', 'pod', 'gated', '--port=80', '--selector=app=gated');
  const conditions = '{range .status.conditions[*]}{.type}={.status} {end}';
  const pod = () => k('get', 'pod', 'gated', '-o', `jsonpath=${conditions}`);
  const endpoint = () =>
    k(
      ...['get', 'endpointslices', '-l', 'kubernetes.io/service-name=gated'],
      ...['-o', 'jsonpath={.items[*].endpoints[*].conditions.ready}'],
    );
  const say = (status: string) =>
    k(
      ...['patch', 'pod', 'gated', '--subresource=status', '-p'],
      JSON.stringify({ status: { conditions: [{ type: GATE, status }] } }),
    );
  await until(async () => assert.match(await pod(), /\bContainersReady=True/));
  assert.match(await pod(), /\bReady=False/);
  await until(async () => assert.equal(await endpoint(), 'false'));
  assert.match(await k('describe', 'pod', 'gated'), new RegExp(`${GATE} +<none>`));
  await say('True');
  await until(async () => assert.match(await pod(), /\bReady=True/));
  await until(async () => assert.equal(await endpoint(), 'true'));
  await say('False');
  await until(async () => assert.match(await pod(), /\bReady=False/));
  await until(async () => assert.equal(await endpoint(), 'false'));
  // What the kubelet tells leaves what others told.
  assert.match(await pod(), new RegExp(`${GATE}=False`));

  await k('scale', 'deployment/hook', '--replicas=0');
  await until(async () => {
    const { status, stderr } = await create('late');
    if (status === 0) await k('delete', 'pod', 'late', '--grace-period=1');
    assert.match(
      stderr,
      /failed calling webhook "gates\.enid\.test".*no endpoints available for service "hook"/,
    );
  });
});

test('a Service is reached by name, address and node port, and a policy closes it', async (t) => {
  const [kubectl] = clients as [Kubectl];
  const namespace = 'reach';
  const k = (...args: string[]) => kubectl.run('-n', namespace, ...args);
  await kubectl.run('create', 'namespace', namespace);
  t.after(() => kubectl.run('delete', 'namespace', namespace));
  await until(() => k('get', 'serviceaccount', 'default'));
  const pod = (name: string, container: object) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name, ...container }],
      // On another node, so that it is asked over the network.
      affinity: {
        podAntiAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            {
              topologyKey: 'kubernetes.io/hostname',
              labelSelector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] },
            },
          ],
        },
      },
    },
  });
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web' },
    spec: { type: 'NodePort', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
  };
  const policy = (from: string) => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'web' },
    spec: {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: from } } }] }],
    },
  });
  const agnhost = {
    image: 'registry.k8s.io/e2e-test-images/agnhost:2.53',
    args: ['netexec', '--http-port=8080'],
  };
  const client = {
    image: 'nicolaka/netshoot',
    command: ['socat', 'TCP4-LISTEN:7000,fork,reuseaddr', 'SYSTEM:echo probed by $SOCAT_PEERADDR >&2'],
    readinessProbe: { tcpSocket: { port: 7000 }, periodSeconds: 1 },
  };
  const apply = async (...items: object[]) => {
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
    const { status, stderr } = await kubectl.with(list, '-n', namespace, 'apply', '-f', '-');
    assert.equal(status, 0, stderr);
  };
  await apply(pod('web', agnhost), pod('client', client), service);
  await k('wait', '--for=condition=Ready', 'pod/web', 'pod/client');
  const read = (kind: string, name: string, path: string) => k('get', kind, name, '-o', `jsonpath=${path}`);
  const [address, clusterIp, nodePort, node, nodeOfClient] = await Promise.all([
    read('pod', 'client', '{.status.podIP}'),
    read('service', 'web', '{.spec.clusterIP}'),
    read('service', 'web', '{.spec.ports[0].nodePort}'),
    read('pod', 'web', '{.status.hostIP}'),
    read('pod', 'client', '{.status.hostIP}'),
  ]);
  // It asked nobody by then, and nobody but its kubelet, from the node's address, knows its port.
  assert.deepEqual(
    new Set((await k('logs', 'client')).trim().split('\n')),
    new Set([`probed by ${nodeOfClient}`]),
  );
  const ask = (host: string) =>
    k('exec', 'client', '--', 'curl', '-sS', '-m', '2', `http://${host}/clientip`);
  for (const host of ['web', `web.${namespace}.svc.cluster.local`, clusterIp]) {
    await until(async () => assert.match(await ask(host), new RegExp(`^${RegExp.escape(address)}:`)));
  }
  assert.match(await ask(`${node}:${nodePort}`), /^\d/);
  await apply(policy('nobody'));
  await until(() => assert.rejects(ask('web'), /timed out/));
  await apply(policy('client'));
  await until(async () => assert.match(await ask('web'), /^\d/));
});

describe('DNS', () => {
  test('services, their pods, and the rest of the world have names', async (t) => {
    const [kubectl] = clients as [Kubectl];
    const name = 'dns';
    t.after(() => kubectl.run('delete', 'pod,service', name, '--ignore-not-found'));
    const clusterIp = (...service: string[]) =>
      kubectl.run('get', 'service', ...service, '-o', 'jsonpath={.spec.clusterIP}');
    // Of a lab it is known what they are.
    const [api, dns] = GIVEN
      ? [await clusterIp('kubernetes'), await clusterIp('-n', 'kube-system', 'kube-dns')]
      : ['10.100.0.1', '10.100.0.10'];
    const manifest = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels: { app: name } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [{ name, image: 'nicolaka/netshoot', command: ['sleep', 'infinity'] }],
      },
    };
    await kubectl.with(JSON.stringify(manifest), 'apply', '-f', '-');
    await kubectl.run('wait', '--for=condition=Ready', `pod/${name}`);
    const resolve = (host: string, ...more: string[]) =>
      kubectl.run('exec', name, '--', 'dig', '+short', '+search', host, ...more);
    assert.equal(await resolve('kubernetes'), `${api}\n`);
    assert.equal(await resolve('kube-dns.kube-system'), `${dns}\n`);
    assert.match(
      await resolve('_dns._udp.kube-dns.kube-system.svc.cluster.local', 'SRV'),
      /53 kube-dns\.kube-system/,
    );
    if (!GIVEN) assert.equal(await resolve('server.internet.test', '+tcp'), '198.51.100.10\n');
    const headless = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: { clusterIP: 'None', selector: { app: name }, ports: [{ name: 'http', port: 80 }] },
    };
    await kubectl.with(JSON.stringify(headless), 'apply', '-f', '-');
    const address = await kubectl.run('get', 'pod', name, '-o', 'jsonpath={.status.podIP}');
    const dashed = address.replaceAll('.', '-');
    await until(async () => assert.equal(await resolve(name), `${address}\n`));
    assert.match(
      await resolve(`_http._tcp.${name}`, 'SRV'),
      new RegExp(` 80 ${dashed}\\.${name}\\.default\\.svc`),
    );
    assert.equal(await resolve(`${dashed}.default.pod.cluster.local`), `${address}\n`);
    assert.match(await kubectl.run('exec', name, '--', 'dig', '+short', '-x', api!), /^kubernetes\.default/);
  });
});

describe('nodes', { skip: GIVEN && 'needs nodes that can be made and stopped' }, () => {
  test('one joins, is drained and goes; one that dies is noticed', async () => {
    const [kubectl] = clients as [Kubectl];
    const add = () => run('lab', 'node', 'add', '--name', NAME);
    const [added, refused] = (await Promise.all([add(), add()])).sort((a, b) => a.status! - b.status!) as [
      Result,
      Result,
    ];
    assert.equal(added.status, 0, added.stderr);
    assert.equal(refused.status, 1, 'one at a time');
    assert.match(refused.stderr, /another process works on lab "clustertest": wait until it has ended/);
    const [, name, dnsName] = /^(\S+) is ready: (\S+),/.exec(added.stdout)!;
    assert.match(await kubectl.run('get', 'node', dnsName!), / Ready /);
    await kubectl.with(deployment('default', 3), 'apply', '-f', '-');
    await kubectl.run('rollout', 'status', 'deployment/net');
    const on = async () =>
      kubectl.run(
        'get',
        'pods',
        '-l',
        'app=net',
        '--field-selector',
        `spec.nodeName=${dnsName}`,
        '-o',
        'name',
      );
    assert.match(await on(), /pod\/net-/);
    await kubectl.run('drain', dnsName!, '--ignore-daemonsets', '--force');
    assert.equal(await on(), '');
    assert.match(await kubectl.run('get', 'node', dnsName!), /Ready,SchedulingDisabled/);
    const removed = await run('lab', 'node', 'remove', '--name', NAME, name!);
    assert.equal(removed.status, 0, removed.stderr);
    assert.match(await kubectl.refusal('get', 'node', dnsName!), /not found/);
    await kubectl.run('delete', 'deployment', 'net');
  });

  test('one that stops at once is noticed, as one that is silent; each goes on with its pods when it is back', async (t) => {
    const [kubectl] = clients as [Kubectl];
    await kubectl.with(deployment('default', 2), 'apply', '-f', '-');
    await kubectl.run('rollout', 'status', 'deployment/net');
    const ready = () =>
      kubectl.run('get', 'nodes', '-o', 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}');
    assert.equal(await ready(), 'True True');
    assert.equal((await run('lab', 'node', 'stop', '--name', NAME, 'node-2')).status, 0);
    const kubelet = processOf(NAME, 'kubelet-node-1');
    process.kill(kubelet, 'SIGSTOP');
    t.after(() => process.kill(kubelet, 'SIGCONT'));
    await until(async () => assert.equal(await ready(), 'Unknown Unknown'), 60_000);
    const available = (count: number, patience?: number) =>
      until(
        async () => assert.match(await kubectl.run('get', 'deployment', 'net'), new RegExp(` ${count}/2 `)),
        patience,
      );
    await available(0);

    process.kill(kubelet, 'SIGCONT');
    await until(async () => assert.match(await ready(), /^(True Unknown|Unknown True)$/), 10_000);
    await available(1, 10_000);
    const taints = () => kubectl.run('get', 'nodes', '-o', 'jsonpath={.items[*].spec.taints[*].key}');
    await until(async () => assert.equal((await taints()).match(/unreachable/g)?.length, 2), 10_000);

    // The other is down yet: one joins all the same, and goes although somebody has taken it out of the cluster.
    const added = await run('lab', 'node', 'add', '--name', NAME);
    assert.equal(added.status, 0, added.stderr);
    const [, name, dnsName] = /^(\S+) is ready: (\S+),/.exec(added.stdout)!;
    await kubectl.run('delete', 'node', dnsName!);
    const removed = await run('lab', 'node', 'remove', '--name', NAME, name!);
    assert.equal(removed.status, 0, removed.stderr);

    const resumed = await run('lab', 'resume', '--name', NAME);
    assert.match(resumed.stderr, /started containerd and the kubelet of node-2/);
    await until(async () => assert.equal(await ready(), 'True True'));
    await available(2);
    await kubectl.run('delete', 'deployment', 'net');
  });
});

describe('its processes', { skip: GIVEN && 'needs processes that can be killed' }, () => {
  test('all killed at once cost no pod anything, and all goes on when resumed', async () => {
    const [kubectl] = clients as [Kubectl];
    await kubectl.with(deployment('default', 2), 'apply', '-f', '-');
    await kubectl.run('rollout', 'status', 'deployment/net');
    const pods = () =>
      kubectl.run(
        ...['get', 'pods', '-A', '--sort-by=.metadata.uid', '-o'],
        'jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {.status.containerStatuses[*].restartCount}{"\\n"}{end}',
      );
    const before = await pods();
    const [here, there] = [...before.matchAll(/^(net-\S+) (\S+)/gm)] as [RegExpExecArray, RegExpExecArray];
    for (const pid of processesOf(NAME)) process.kill(pid, 'SIGKILL');
    const ping = await run(
      'lab',
      'exec',
      '--name',
      NAME,
      here[1]!,
      '--',
      'ping',
      '-c',
      '3',
      '-i',
      '0.2',
      '-W',
      '2',
      there[2]!,
    );
    assert.match(ping.stdout, /3 received/, ping.stderr);
    const resumed = await run('lab', 'resume', '--name', NAME);
    assert.match(
      resumed.stderr,
      /started the AWS APIs, the control plane, the controller, containerd and the kubelet of node-1/,
    );
    await until(async () => assert.equal(await pods(), before));
    await kubectl.run('scale', 'deployment/net', '--replicas=3');
    await kubectl.run('rollout', 'status', 'deployment/net');
    await kubectl.run('delete', 'deployment', 'net');
  });
});

describe('what it costs', {
  skip: GIVEN && 'needs a cluster of which the size and the load are known',
}, () => {
  test('two nodes are a cluster within 30 s', (t) => {
    t.diagnostic(`it took ${Math.round(took)} ms`);
    assert.ok(took < 30_000, `it took ${took} ms`);
  });
  test('a pod runs within 1.5 s of its creation, at the median', async (t) => {
    const [kubectl] = clients as [Kubectl];
    const times: number[] = [];
    for (let n = 1; n <= 7; n++) {
      const started = performance.now();
      await kubectl.run('run', `quick-${n}`, '--image=registry.k8s.io/pause:3.9', '--restart=Never');
      await kubectl.run('wait', '--for=condition=Ready', `pod/quick-${n}`);
      times.push(performance.now() - started);
    }
    await kubectl.run('delete', 'pod', ...times.map((_, index) => `quick-${index + 1}`), '--grace-period=1');
    times.sort((a, b) => a - b);
    t.diagnostic(`it took ${times.map(Math.round)} ms`);
    assert.ok(times[3]! < 1500, `it took ${times.map(Math.round)} ms, with kubectl's own time`);
  });
  test('its processes, without the pods, stay under 1.2 GB', (t) => {
    const resident = processesOf(NAME).map((pid) => {
      const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
      return Number(kilobytes) / 1e6;
    });
    const total = resident.reduce((sum, each) => sum + each, 0);
    t.diagnostic(`they have ${total.toFixed(2)} GB`);
    assert.ok(total < 1.2, `${total} GB: ${resident}`);
  });
});

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** What processes have printed that is still to be looked at. */
const printed = new WeakMap<ChildProcess, { text: string }>();

/** Waits until a process has printed something more. @returns the match. */
async function seen(child: ChildProcess, text: RegExp): Promise<RegExpExecArray> {
  let output = printed.get(child);
  if (!output) {
    const collected = { text: '' };
    child.stdout!.setEncoding('utf8').on('data', (chunk) => {
      collected.text += chunk;
    });
    printed.set(child, collected);
    output = collected;
  }
  return await until(async () => {
    const match = text.exec(output.text);
    assert.ok(match, `${text} was not printed, but: ${output.text}`);
    output.text = output.text.slice(match.index + match[0].length);
    return match;
  });
}
