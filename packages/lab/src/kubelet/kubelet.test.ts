/** The kubelet on a real containerd and the lab's API server. Needs root, and containerd, runc and busybox. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import https, { type RequestOptions } from 'node:https';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import {
  type CoreEvent,
  isNotFound,
  KubeClient,
  type List,
  type Node,
  type Pod,
  type PodSpec,
} from '@enid/kube';
import { eventually } from '@enid/kube/testing';
import { CoreV1Api, Exec, PortForward } from '@kubernetes/client-node';
import { pino } from 'pino';
import { startTestApiServer, type TestApiServer } from '../apiserver/apiserver.fixture.ts';
import { IMAGE, leaveNetwork, startContainerd, type TestContainerd } from './containerd.fixture.ts';
import { type Kubelet, startKubelet } from './index.ts';

const NODE = 'node-1';
const PODS = '/api/v1/namespaces/default/pods';

let containerd: TestContainerd;
let api: TestApiServer;
let client: KubeClient;
let kubelet: Kubelet;
let directory: string;

async function start(): Promise<Kubelet> {
  const server = await api.pki.authority.issueServer(['127.0.0.1']);
  return startKubelet({
    nodeName: NODE,
    api: api.access,
    containerdSocket: containerd.socket,
    rootDirectory: join(directory, 'kubelet'),
    podLogsDirectory: join(directory, 'logs'),
    nodeAddress: '127.0.0.1',
    hostName: NODE,
    labels: { 'topology.kubernetes.io/zone': 'us-east-1a' },
    maxPods: 11,
    capacity: { cpu: '2', memory: '1Gi' },
    clusterDNS: ['10.100.0.10'],
    clusterDomain: 'cluster.local',
    resolvConf: join(directory, 'resolv.conf'),
    cgroupParent: containerd.cgroupParent,
    server: { host: '127.0.0.1', port: 0, ...server, clientCa: api.pki.authority.certificate },
    images: [IMAGE],
    log: pino({ level: process.env.ENID_TEST_LOG ?? 'silent' }),
  });
}

const shell = (script: string) => ({ image: IMAGE, command: ['/bin/sh', '-c', script] });
const SLEEP = 'trap exit TERM; sleep 1000 & wait';

async function create(name: string, spec: Partial<PodSpec>): Promise<Pod> {
  return client.create<Pod>(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { app: name } },
    spec: { nodeName: NODE, containers: [{ name: 'main', ...shell(SLEEP) }], ...spec },
  });
}

const get = (name: string) => client.get<Pod>(`${PODS}/${name}`);
const main = (pod: Pod) => pod.status?.containerStatuses?.[0];
const condition = (object: Pod | Node, type: string) =>
  object.status?.conditions?.find((c) => c.type === type);

/** Waits until a pod is so. */
function until(name: string, check: (pod: Pod) => boolean, timeout = 20_000): Promise<Pod> {
  return eventually(async () => {
    const pod = await get(name);
    assert.ok(check(pod), JSON.stringify(pod.status, null, 1));
    return pod;
  }, timeout);
}
const untilRunning = (name: string) => until(name, (pod) => condition(pod, 'Ready')?.status === 'True');
const untilGone = (name: string) => eventually(() => assert.rejects(get(name), isNotFound), 20_000);

const remove = async (name: string, gracePeriodSeconds = 1) => {
  await client.delete(`${PODS}/${name}`, { gracePeriodSeconds });
  await untilGone(name);
};

const logs = (
  name: string,
  container = 'main',
  options: { previous?: boolean; follow?: boolean; tailLines?: number } = {},
) =>
  api.kubeConfig
    .makeApiClient(CoreV1Api)
    .readNamespacedPodLog({ name, namespace: 'default', container, ...options });

async function events(name: string): Promise<CoreEvent[]> {
  const { items } = await client.get<List<CoreEvent>>('/api/v1/namespaces/default/events');
  return items.filter(({ involvedObject }) => involvedObject?.name === name);
}

/** Runs a command as kubectl does, through the API server and the kubelet. */
function exec(name: string, command: string[]): Promise<{ output: string; status: string | undefined }> {
  let output = '';
  const out = new Writable({
    write(chunk, _encoding, done) {
      output += chunk;
      done();
    },
  });
  return new Promise((resolve, reject) => {
    new Exec(api.kubeConfig)
      .exec('default', name, 'main', command, out, out, null, false, ({ status }) =>
        resolve({ output, status }),
      )
      .catch(reject);
  });
}

suite('kubelet', { concurrency: false, timeout: 120_000 }, () => {
  before(async () => {
    const prepared = await leaveNetwork();
    [containerd, api] = await Promise.all([startContainerd(prepared), startTestApiServer()]);
    directory = containerd.directory;
    writeFileSync(join(directory, 'resolv.conf'), 'nameserver 192.0.2.1\nsearch ec2.internal\n');
    client = new KubeClient(api.access);
    await client.create('/api/v1/namespaces/default/serviceaccounts', {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'default' },
    });
    await client.create('/api/v1/namespaces/default/configmaps', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'kube-root-ca.crt' },
      data: { 'ca.crt': api.pki.authority.certificate },
    });
    kubelet = await start();
  });
  after(async () => {
    await kubelet?.close();
    await client?.close();
    await containerd?.stop();
    await api?.stop();
  });

  test('the node is ready when its network is, and pods that waited for it run at once', async () => {
    const node = () => client.get<Node>(`/api/v1/nodes/${NODE}`);
    const first = await node();
    assert.equal(condition(first, 'Ready')?.status, 'False');
    assert.match(
      condition(first, 'Ready')!.message!,
      /container runtime network not ready: .*cni plugin not initialized/,
    );
    assert.equal(first.status?.allocatable?.pods, '11');
    assert.equal(first.metadata?.labels?.['topology.kubernetes.io/zone'], 'us-east-1a');
    const lease = await client.get<{ spec: { holderIdentity: string; leaseDurationSeconds: number } }>(
      `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${NODE}`,
    );
    assert.equal(lease.spec.leaseDurationSeconds, 40);

    await create('host', { hostNetwork: true });
    await create('waits', {});
    const host = await untilRunning('host');
    assert.equal(host.status?.podIP, '127.0.0.1');
    assert.equal(main(await get('waits'))?.state?.waiting?.reason, 'ContainerCreating');

    containerd.addNetwork();
    const waits = await untilRunning('waits');
    assert.match(waits.status!.podIP!, /^10\.244\.7\./);
    await eventually(async () => assert.equal(condition(await node(), 'Ready')?.status, 'True'));
    await Promise.all([remove('host'), remove('waits')]);
  });

  test('a container has the files, variables and names that its pod asks for', async () => {
    await client.create('/api/v1/namespaces/default/configmaps', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'conf' },
      data: { 'app.ini': 'level=1', WORD: 'map' },
    });
    await client.create('/api/v1/namespaces/default/secrets', {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'pass' },
      data: { word: Buffer.from('s3cret').toString('base64') },
    });
    const begun = Date.now();
    await create('full', {
      subdomain: 'sub',
      serviceAccountName: 'default',
      securityContext: { runAsUser: 1000, fsGroup: 2000 },
      hostAliases: [{ ip: '192.0.2.9', hostnames: ['alias'] }],
      volumes: [
        { name: 'conf', configMap: { name: 'conf' } },
        { name: 'memory', emptyDir: { medium: 'Memory' } },
        {
          name: 'all',
          projected: {
            sources: [
              { serviceAccountToken: { path: 'token', audience: 'vault', expirationSeconds: 600 } },
              { secret: { name: 'pass', items: [{ key: 'word', path: 'deep/word' }] } },
              { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
            ],
          },
        },
      ],
      containers: [
        {
          name: 'main',
          ...shell(SLEEP),
          env: [
            { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
            { name: 'WORD', valueFrom: { configMapKeyRef: { name: 'conf', key: 'WORD' } } },
            { name: 'SAID', value: '$(WORD) at $(IP)' },
          ],
          volumeMounts: [
            { name: 'conf', mountPath: '/conf', readOnly: true },
            { name: 'memory', mountPath: '/memory' },
            { name: 'all', mountPath: '/all' },
          ],
          resources: { limits: { cpu: '500m', memory: '64Mi' } },
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    });
    const pod = await untilRunning('full');
    if (process.env.ENID_TEST_LOG) console.log('running after', Date.now() - begun, 'ms');
    const sh = async (script: string) => (await exec('full', ['sh', '-c', script])).output;
    const ip = pod.status!.podIP!;
    assert.equal(await sh('echo $SAID'), `map at ${ip}\n`);
    assert.equal(await sh('cat /conf/app.ini /all/deep/word'), 'level=1s3cret');
    assert.equal(await sh('cat /all/labels'), 'app="full"');
    const claims = JSON.parse(
      Buffer.from((await sh('cat /all/token')).split('.')[1]!, 'base64url').toString(),
    );
    assert.deepEqual(claims.aud, ['vault']);
    assert.equal(claims['kubernetes.io'].pod.uid, pod.metadata!.uid);
    assert.equal(await sh('hostname; id -u; id -G'), 'full\n1000\n0 2000\n');
    assert.match(
      await sh('cat /etc/hosts'),
      new RegExp(`${ip}\tfull.sub.default.svc.cluster.local\tfull\n[\\s\\S]*192.0.2.9\talias`),
    );
    assert.equal(
      await sh('cat /etc/resolv.conf'),
      'search default.svc.cluster.local svc.cluster.local cluster.local ec2.internal\nnameserver 10.100.0.10\noptions ndots:5\n',
    );
    assert.match(await sh('mount'), /tmpfs on \/memory type tmpfs/);
    assert.match(await sh('touch /memory/x && ls -n /memory'), /2000 .* x\n/);
    assert.match(await sh('touch /conf/x'), /Read-only file system/);
    assert.match(await sh('cat /proc/self/status'), /CapEff:\t0+\n[\s\S]*NoNewPrivs:\t1\n/);
    assert.equal((await exec('full', ['false'])).status, 'Failure');
    // By either version of control groups.
    const group = async (...files: string[]) =>
      (await sh(`cd /sys/fs/cgroup; cat ${files.join(' ')} 2>/dev/null`)).trim().split(/\s+/);
    assert.deepEqual(await group('memory.max', 'memory/memory.limit_in_bytes'), [`${64 * 2 ** 20}`]);
    assert.deepEqual(await group('cpu.max', 'cpu/cpu.cfs_quota_us', 'cpu/cpu.cfs_period_us'), [
      '50000',
      '100000',
    ]);

    await client.patch('/api/v1/namespaces/default/configmaps/conf', { data: { 'app.ini': 'level=2' } });
    await eventually(async () => assert.equal(await sh('cat /conf/app.ini'), 'level=2'));
    const uid = pod.metadata!.uid!;
    assert.ok(existsSync(join(directory, 'kubelet/pods', uid)));
    await remove('full');
    assert.ok(!existsSync(join(directory, 'kubelet/pods', uid)));
    assert.deepEqual(readdirSync(join(directory, 'logs')), []);
  });

  test('init containers go first in their order, a sidecar stays beside, and the pod succeeds', async () => {
    const volumeMounts = [{ name: 'data', mountPath: '/data' }];
    await create('job', {
      restartPolicy: 'OnFailure',
      volumes: [{ name: 'data', emptyDir: {} }],
      initContainers: [
        { name: 'one', ...shell('echo one >> /data/log'), volumeMounts },
        { name: 'side', ...shell(`echo side >> /data/log; ${SLEEP}`), volumeMounts, restartPolicy: 'Always' },
        {
          name: 'two',
          ...shell('test -e /data/again || { touch /data/again; exit 3; }; echo two >> /data/log'),
          volumeMounts,
        },
      ],
      containers: [
        { name: 'main', ...shell('cat /data/log; echo -n done > /dev/termination-log'), volumeMounts },
      ],
    });
    const pod = await until('job', ({ status }) => status?.phase === 'Succeeded');
    assert.equal(await logs('job'), 'one\nside\ntwo\n');
    assert.equal(main(pod)?.state?.terminated?.message, 'done');
    const [one, side, two] = pod.status!.initContainerStatuses!;
    assert.equal(one!.restartCount, 0);
    assert.equal(two!.restartCount, 1);
    assert.equal(two!.lastState?.terminated?.exitCode, 3);
    assert.ok(side!.state?.terminated);
    assert.equal(condition(pod, 'Ready')?.reason, 'PodCompleted');
    // Its address is another's already.
    await eventually(async () => {
      const states = (await containerd.cri.listPodSandbox()).map(({ state }) => state);
      assert.deepEqual(states, ['SANDBOX_NOTREADY']);
    });
    await remove('job');
  });

  test('a container that fails is started again, and then waits; what it said before is kept', async () => {
    await create('crash', {
      containers: [{ name: 'main', ...shell('echo run; echo why > /dev/termination-log; exit 7') }],
    });
    const pod = await until('crash', (now) => main(now)?.state?.waiting?.reason === 'CrashLoopBackOff');
    assert.equal(main(pod)?.restartCount, 1);
    assert.equal(main(pod)?.lastState?.terminated?.exitCode, 7);
    assert.equal(main(pod)?.lastState?.terminated?.message, 'why\n');
    assert.match(
      main(pod)!.state!.waiting!.message!,
      /^back-off 10s restarting failed container=main pod=crash_default/,
    );
    assert.equal(pod.status?.phase, 'Running');
    assert.equal(await logs('crash', 'main', { previous: true }), 'run\n');
    await eventually(async () => {
      const reasons = (await events('crash')).map(({ reason }) => reason);
      for (const reason of ['Pulled', 'Created', 'Started', 'BackOff'])
        assert.ok(reasons.includes(reason), reason);
    });
    await remove('crash');
  });

  test('probes decide when a pod is ready, and when a container has to start again', async () => {
    const probe = { periodSeconds: 1, failureThreshold: 1 };
    await create('probed', {
      containers: [
        {
          name: 'main',
          ...shell('touch /tmp/alive; httpd -f -p 8080 -h /tmp & trap exit TERM; wait'),
          ports: [{ name: 'web', containerPort: 8080 }],
          startupProbe: { tcpSocket: { port: 'web' }, periodSeconds: 1, failureThreshold: 10 },
          readinessProbe: { httpGet: { port: 'web', path: '/ready' }, ...probe },
          livenessProbe: { exec: { command: ['test', '-e', '/tmp/alive'] }, ...probe },
        },
      ],
      terminationGracePeriodSeconds: 1,
    });
    const unready = await until('probed', (pod) => main(pod)?.started === true);
    assert.equal(main(unready)?.ready, false);
    await exec('probed', ['touch', '/tmp/ready']);
    await untilRunning('probed');
    const answer = new PassThrough();
    const question = Readable.from(['GET /ready HTTP/1.0\r\n\r\n']);
    const forward = new PortForward(api.kubeConfig);
    await forward.portForward('default', 'probed', [8080], answer, null, question);
    assert.match(`${(await once(answer, 'data'))[0]}`, /^HTTP\/1.[01] 200 OK/);

    await exec('probed', ['/bin/busybox', 'rm', '/tmp/alive']);
    const again = await until(
      'probed',
      (pod) => main(pod)?.restartCount === 1 && main(pod)?.started === true,
    );
    assert.equal(main(again)?.ready, false);
    await eventually(async () => {
      const told = (await events('probed')).map(({ reason, message }) => `${reason}: ${message}`).join('\n');
      assert.match(told, /Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 404/);
      assert.match(told, /Killing: Container main failed liveness probe, will be restarted/);
    });
    await remove('probed');
  });

  test('what is missing is named: an image, a config map, a volume', async () => {
    await create('image', { containers: [{ name: 'main', image: 'lab.test/none:2' }] });
    await create('config', {
      containers: [
        {
          name: 'main',
          ...shell(SLEEP),
          env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'later', key: 'x' } } }],
        },
      ],
    });
    await create('volume', { volumes: [{ name: 'v', configMap: { name: 'later' } }] });
    const image = await until('image', (pod) => main(pod)?.state?.waiting?.reason === 'ImagePullBackOff');
    assert.match(
      main(image)!.state!.waiting!.message!,
      /lab.test\/none:2.*the lab reaches no registry.*docker.io\/library\/busybox:latest/,
    );
    const config = await until(
      'config',
      (pod) => main(pod)?.state?.waiting?.reason === 'CreateContainerConfigError',
    );
    assert.equal(main(config)?.state?.waiting?.message, 'configmap "later" not found');
    await eventually(async () => {
      const mount = (await events('volume')).find(({ reason }) => reason === 'FailedMount');
      assert.equal(mount?.message, 'MountVolume.SetUp failed for volume "v" : configmap "later" not found');
    });
    // As soon as it is there they run.
    await client.create('/api/v1/namespaces/default/configmaps', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'later' },
      data: { x: '1' },
    });
    await Promise.all([untilRunning('config'), untilRunning('volume')]);
    await Promise.all(['image', 'config', 'volume'].map((name) => remove(name)));
  });

  test('a pod is given its time to end, and logs are followed until then', async () => {
    await create('polite', {
      terminationGracePeriodSeconds: 20,
      containers: [
        {
          name: 'main',
          ...shell('trap "echo bye; exit 0" TERM; echo hello; while :; do sleep 1000 & wait; done'),
          lifecycle: {
            postStart: { exec: { command: ['sh', '-c', 'echo post > /proc/1/fd/1'] } },
            preStop: { exec: { command: ['sh', '-c', 'echo pre > /proc/1/fd/1'] } },
          },
        },
      ],
    });
    await untilRunning('polite');
    const followed = logs('polite', 'main', { follow: true });
    const begun = Date.now();
    await remove('polite', 20);
    assert.ok(Date.now() - begun < 10_000);
    assert.deepEqual((await followed).split('\n').sort(), ['', 'bye', 'hello', 'post', 'pre']);
    assert.deepEqual(await containerd.cri.listPodSandbox(), []);
  });

  test('its server upgrades to SPDY as well, and answers only who has a certificate of the cluster', async () => {
    await create('served', {});
    await untilRunning('served');
    const ca = api.pki.authority.certificate;
    const { certificate: cert, key } = await api.pki.authority.issueClient('api-server');
    const options = { host: '127.0.0.1', port: kubelet.port, ca };
    const ask = async (more: RequestOptions) => {
      const request = https.request({ ...options, ...more }).end();
      const [answer] = (await Promise.race([once(request, 'response'), once(request, 'upgrade')])) as [
        IncomingMessage,
      ];
      request.destroy();
      return answer;
    };
    assert.equal((await ask({ cert, key, path: '/healthz' })).statusCode, 200);
    await assert.rejects(ask({ path: '/healthz' }), /certificate required|socket hang up|ECONNRESET/);
    const spdy = await ask({
      cert,
      key,
      method: 'POST',
      path: '/exec/default/served/main?command=id&output=1',
      headers: {
        connection: 'Upgrade',
        upgrade: 'SPDY/3.1',
        'x-stream-protocol-version': 'v4.channel.k8s.io',
      },
    });
    assert.equal(spdy.statusCode, 101);
    assert.equal(spdy.headers['x-stream-protocol-version'], 'v4.channel.k8s.io');
    await remove('served');
  });

  test('the next kubelet takes running pods over, and ends what was deleted meanwhile', async () => {
    await Promise.all([create('stays', {}), create('goes', {}), create('vanishes', {})]);
    const [stays] = await Promise.all(['stays', 'goes', 'vanishes'].map(untilRunning));
    await kubelet.close();
    await client.delete(`${PODS}/goes`, { gracePeriodSeconds: 5 });
    await client.delete(`${PODS}/vanishes`, { gracePeriodSeconds: 0 });
    kubelet = await start();
    await untilGone('goes');
    await eventually(async () => {
      const names = (await containerd.cri.listPodSandbox()).map(({ metadata }) => metadata.name);
      assert.deepEqual(names, ['stays']);
    }, 20_000);
    const after = await get('stays');
    assert.deepEqual(after.status, stays!.status);

    // A sandbox that breaks is made anew, with the pod's container in it.
    const [sandbox] = await containerd.cri.listPodSandbox();
    await containerd.cri.stopPodSandbox(sandbox!.id);
    const again = await until('stays', (pod) => main(pod)!.restartCount > 0 && main(pod)!.ready);
    assert.notEqual(again.status?.podIP, stays!.status?.podIP);
    assert.deepEqual(again.status?.podIPs, [{ ip: again.status!.podIP }]);
    await remove('stays');
  });

  test('what others say of a pod that runs on is put right, and their own conditions stay', async () => {
    await create('silent', {});
    const before = await untilRunning('silent');
    // As when the node was not heard of for a while.
    const conditions = [
      { type: 'Ready', status: 'False', lastTransitionTime: '2026-01-01T00:00:00Z' },
      { type: 'theirs', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' },
    ];
    const marked = await client.patch<Pod>(`${PODS}/silent/status`, { status: { conditions } }, 'strategic');
    assert.equal(condition(marked, 'Ready')?.status, 'False');
    const after = await untilRunning('silent');
    const { conditions: told, ...rest } = after.status!;
    const { conditions: first, ...others } = before.status!;
    assert.deepEqual(rest, others);
    assert.deepEqual(new Set(told), new Set([...first!, conditions[1]]));
    await remove('silent');
  });

  test('more pods than the node may have fail', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `many-${index}`);
    for (const name of names)
      await create(name, { containers: [{ name: 'main', image: 'lab.test/none:2' }] });
    const failed = await until('many-11', ({ status }) => status?.phase === 'Failed');
    assert.equal(failed.status?.reason, 'OutOfpods');
    await Promise.all(names.map((name) => remove(name)));
  });
});
