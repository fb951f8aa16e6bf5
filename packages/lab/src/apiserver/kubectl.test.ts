/** What kubectl does with the server: the one on PATH, and the oldest that Debian has (1.20), which asks in other ways. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { startTestApiServer, type TestApiServer } from './apiserver.fixture.ts';

const exec = promisify(execFile);
const base = mkdtempSync(join(tmpdir(), 'enid-kubectl-'));
after(() => rmSync(base, { recursive: true }));

type Ended = { readonly code: number; readonly out: string; readonly error: string };

/** kubectl on PATH; undefined when there is none. */
function installed(): string | undefined {
  const places = (process.env.PATH ?? '').split(delimiter).map((directory) => join(directory, 'kubectl'));
  return places.find((place) => existsSync(place));
}

/** Debian's, from its package; undefined when that cannot be had. */
async function debian(): Promise<string | undefined> {
  try {
    await exec('apt-get', ['download', 'kubernetes-client'], { cwd: base, timeout: 60_000 });
    const file = readdirSync(base).find((name) => name.endsWith('.deb'))!;
    await exec('dpkg', ['-x', join(base, file), join(base, 'debian')]);
    return join(base, 'debian/usr/bin/kubectl');
  } catch {
    return undefined;
  }
}

const deployment = (image: string, extra = '') => `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: ${image}
        ports: [{containerPort: 80}]${extra}
`;

suite('kubectl', async () => installed());
suite('kubectl of Debian', debian);

function suite(name: string, find: () => Promise<string | undefined>): void {
  describe(name, () => {
    let server: TestApiServer;
    let binary: string | undefined;
    let minor = 0;
    const directory = mkdtempSync(join(base, 'home-'));
    const config = join(directory, 'config');

    before(async (t) => {
      binary = await find();
      if (!binary) return (t as unknown as { skip(why: string): void }).skip?.('no kubectl');
      server = await startTestApiServer();
      writeFileSync(config, server.kubeConfig.exportConfig());
      await server.must('POST /api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
      await server.must('POST /api/v1/nodes', {
        metadata: { name: 'n1', labels: { 'node-role.kubernetes.io/worker': '' } },
        status: {
          conditions: [{ type: 'Ready', status: 'True' }],
          nodeInfo: {
            kubeletVersion: 'v1.33.5',
            osImage: 'Debian',
            kernelVersion: '6',
            containerRuntimeVersion: 'c://1',
          },
          addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
        },
      });
      minor = Number.parseInt(JSON.parse(await k('version --client -o json')).clientVersion.minor, 10);
    });
    after(() => server?.stop());

    function run(
      args: string | readonly string[],
      input?: string,
      env: NodeJS.ProcessEnv = {},
    ): Promise<Ended> {
      const list = typeof args === 'string' ? args.split(' ') : args;
      return new Promise((resolve, reject) => {
        const child = spawn(binary!, list, {
          env: { PATH: process.env.PATH, HOME: directory, KUBECONFIG: config, ...env },
          timeout: 30_000,
        });
        let [out, error] = ['', ''];
        child.stdout.on('data', (chunk) => {
          out += chunk;
        });
        child.stderr.on('data', (chunk) => {
          error += chunk;
        });
        child.once('error', reject);
        child.once('close', (code) => resolve({ code: code ?? -1, out, error }));
        child.stdin.on('error', () => {});
        child.stdin.end(input);
      });
    }

    /** Runs what must succeed. @returns what it writes. */
    async function k(
      args: string | readonly string[],
      input?: string,
      env?: NodeJS.ProcessEnv,
    ): Promise<string> {
      const { code, out, error } = await run(args, input, env);
      assert.equal(code, 0, `kubectl ${args}: ${error}${out}`);
      return out;
    }

    /** Runs what must fail. @returns what it complains of. */
    async function fails(args: string | readonly string[], input?: string): Promise<string> {
      const { code, out, error } = await run(args, input);
      assert.notEqual(code, 0, `kubectl ${args}: ${out}`);
      return error;
    }

    const check = (title: string, body: () => Promise<void>, least = 0) =>
      test(title, async (t) => {
        if (!binary) return t.skip('there is no kubectl');
        if (minor < least) return t.skip(`kubectl 1.${minor} does not know that`);
        await body();
      });

    check('tells what there is', async () => {
      const resources = await k('api-resources');
      assert.match(resources, /^deployments +deploy +apps\/v1 +true +Deployment$/m);
      assert.match(await k('api-resources --namespaced=false -o name'), /^nodes$/m);
      assert.match(await k('api-versions'), /^discovery\.k8s\.io\/v1$/m);
      assert.match(await k('version -o json'), /"gitVersion": "v1\.33\.5-enid"/);
      assert.match(await k('explain deployment.spec.replicas'), /Number of desired pods/);
      assert.match(await k('explain svc --recursive'), /loadBalancerSourceRanges/);
      assert.match(await k('explain pods.spec.containers'), /List of containers/);
      assert.match(await k('get --raw /api/v1/namespaces/default'), /"kind":"Namespace"/);
      assert.match(await k('get --raw /readyz'), /^ok$/);
      assert.match(await k('cluster-info'), /is running at/);
      assert.match(await fails('get nopes'), /the server doesn't have a resource type "nopes"/);
      assert.match(await fails('get cm nope'), /Error from server \(NotFound\): configmaps "nope" not found/);
    });

    check('applies on the client, tells the difference, and applies again', async () => {
      assert.match(await k('apply -f -', deployment('a:1')), /deployment\.apps\/web created/);
      assert.match(await k('apply -f -', deployment('a:1')), /deployment\.apps\/web unchanged/);
      const diff = await run('diff -f -', deployment('a:2'));
      assert.equal(diff.code, 1, diff.error);
      assert.match(diff.out, /^-\s+- image: a:1$/m);
      assert.match(diff.out, /^\+\s+- image: a:2$/m);
      assert.equal((await run('diff -f -', deployment('a:1'))).out, '');
      assert.match(await k('apply -f -', deployment('a:2')), /configured/);
      assert.match(
        await k('apply --dry-run=server -f -', deployment('a:9')),
        /configured \(server dry run\)/,
      );
      assert.equal(
        await k(['get', 'deploy', 'web', '-o', 'jsonpath={.spec.template.spec.containers[0].image}']),
        'a:2',
      );
      const withEnv = deployment('a:2', '\n        env: [{name: A, value: "1"}, {name: B, value: "2"}]');
      await k('apply -f -', withEnv);
      await k('apply -f -', deployment('a:2'));
      assert.equal(
        await k(['get', 'deploy', 'web', '-o', 'jsonpath={.spec.template.spec.containers[0].env}']),
        '',
      );
    });

    check('applies on the server, and says who has what', async () => {
      const map = (color: string) =>
        `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {color: ${color}}\n`;
      assert.match(
        await k('apply --server-side --field-manager=one -f -', map('red')),
        /configmap\/ssa serverside-applied/,
      );
      const conflict = await fails('apply --server-side --field-manager=two -f -', map('blue'));
      assert.match(conflict, /Apply failed with 1 conflict: conflict with "one": \.data\.color/);
      assert.match(conflict, /--force-conflicts/);
      await k('apply --server-side --field-manager=two --force-conflicts -f -', map('blue'));
      assert.equal(await k(['get', 'cm', 'ssa', '-o', 'jsonpath={.data.color}']), 'blue');
      const managers = 'jsonpath={.metadata.managedFields[*].manager}';
      assert.equal(await k(['get', 'cm', 'ssa', '-o', managers]), 'two');
    });

    check('gets, in all ways', async () => {
      for (const [name, tier] of [
        ['p1', 'front'],
        ['p2', 'back'],
        ['p3', 'back'],
      ]) {
        await k(
          'create -f -',
          `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"${name}","labels":{"tier":"${tier}"}},"spec":{"containers":[{"name":"c","image":"i"}],"nodeName":"n1"}}`,
        );
      }
      assert.match(await k('get pods'), /^NAME +READY +STATUS +RESTARTS +AGE\np1 +0\/1 +Pending +0 +\d+s\n/);
      assert.match(await k('get pods -o wide'), /^p1 +0\/1 +Pending +0 +\d+s +<none> +n1 +<none> +<none>$/m);
      assert.match(
        await k('get nodes -o wide'),
        /^n1 +Ready +worker +\d+s +v1\.33\.5 +10\.0\.0\.1 +<none> +Debian +6 +c:\/\/1$/m,
      );
      assert.match(await k('get pods --show-labels --sort-by=.metadata.name'), /p1 .*tier=front\np2 .*\np3 /);
      assert.equal(await k('get pods -l tier=back -o name'), 'pod/p2\npod/p3\n');
      assert.equal(await k('get pods --field-selector metadata.name=p2 -o name'), 'pod/p2\n');
      assert.match(
        await k('get all -A'),
        /default +service\/kubernetes +ClusterIP +10\.100\.0\.1 +<none> +443\/TCP/,
      );
      assert.match(await k('get deploy,svc'), /deployment\.apps\/web +0\/2 +0 +0 /);
      assert.match(await k('get po/p1 no/n1 -o name'), /pod\/p1\nnode\/n1/);
      assert.match(await k('get pod p1 -o yaml'), /^kind: Pod$/m);
      assert.match(await k('get pods -o custom-columns=N:.metadata.name,NODE:.spec.nodeName'), /^p1 +n1$/m);
      assert.equal(
        await k(['get', 'pods', '-o', 'go-template={{range .items}}{{.metadata.name}} {{end}}']),
        'p1 p2 p3 ',
      );
      assert.match(await k('get pods --chunk-size=1'), /p1[\s\S]*p2[\s\S]*p3/);
      assert.match((await run('get secrets')).error, /No resources found in default namespace/);
      assert.match(
        await k('get ep,endpointslices'),
        /endpointslice\.discovery\.k8s\.io\/kubernetes +IPv4 +\d+ +127\.0\.0\.1/,
      );
    });

    check('watches', async () => {
      const child = spawn(
        binary!,
        ['get', 'cm', '-w', '--output-watch-events', '--field-selector=metadata.name=watched'],
        {
          env: { PATH: process.env.PATH, HOME: directory, KUBECONFIG: config },
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
      // It lists first, and watches from there on: what is made meanwhile is in one or the other.
      await k('create cm watched --from-literal=a=1');
      const seen: string[] = [];
      const next = async () => seen.push(String((await lines.next()).value));
      await next();
      await next();
      await k('patch cm watched --type=merge -p {"data":{"b":"2"}}');
      await next();
      await k('delete cm watched');
      await next();
      child.kill();
      assert.match(seen[0]!, /^EVENT +NAME +DATA +AGE$/);
      assert.deepEqual(
        seen.slice(1).map((line) => line.split(/ +/).slice(0, 3).join(' ')),
        ['ADDED watched 1', 'MODIFIED watched 2', 'DELETED watched 2'],
      );
    });

    check('describes', async () => {
      assert.match(await k('describe pod p1'), /^Node: +n1/m);
      assert.match(await k('describe node n1'), /^Non-terminated Pods: +\(3 in total\)/m);
      assert.match(await k('describe deploy web'), /^Pod Template:/m);
      assert.match(await k('describe svc kubernetes'), /^Endpoints: +127\.0\.0\.1:\d+/m);
      assert.match(await k('describe ns default'), /^Status: +Active/m);
      await k('create -f -', EVERYTHING);
      const kinds =
        'cm secret sa ingress ingressclass netpol pdb ds sts job rs crd role rolebinding clusterrole clusterrolebinding priorityclass lease endpointslice controllerrevision';
      const old = new Set(minor < 21 ? ['ingress', 'pdb', 'endpointslice'] : []);
      for (const kind of kinds.split(' ')) {
        if (old.has(kind)) continue;
        const text = await k(`describe ${kind}`);
        assert.match(text, /^Name: +\S/m, kind);
      }
      assert.match(await k('describe sts st'), /^Replicas: +1 desired/m);
      assert.match(await k('describe wd small'), /^Spec:\n +Color: +red$/m);
    });

    check('labels, annotates, and patches in three ways', async () => {
      assert.match(await k('label pod p1 color=red'), /pod\/p1 labeled/);
      assert.match(await fails('label pod p1 color=blue'), /already has a value/);
      await k('label pod p1 color=blue --overwrite');
      await k('label pod p1 tier-');
      await k('annotate pod p1 note=hello');
      assert.equal(await k(['get', 'pod', 'p1', '-o', 'jsonpath={.metadata.labels}']), '{"color":"blue"}');
      await k([
        'patch',
        'deploy',
        'web',
        '-p',
        '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s"}]}}}}',
      ]);
      assert.equal(
        await k(['get', 'deploy', 'web', '-o', 'jsonpath={.spec.template.spec.containers[*].name}']),
        'side c',
      );
      await k([
        'patch',
        'deploy',
        'web',
        '--type=json',
        '-p',
        '[{"op":"remove","path":"/spec/template/spec/containers/0"}]',
      ]);
      await k(['patch', 'deploy', 'web', '--type=merge', '-p', '{"spec":{"minReadySeconds":5}}']);
      assert.equal(
        await k([
          'get',
          'deploy',
          'web',
          '-o',
          'jsonpath={.spec.template.spec.containers[*].name} {.spec.minReadySeconds}',
        ]),
        'c 5',
      );
      assert.match(
        await fails(['patch', 'pod', 'p1', '-p', '{"spec":{"nodeName":"n2"}}']),
        /pod updates may not change fields other than/,
      );
      assert.match(
        await fails([
          'patch',
          'deploy',
          'web',
          '--type=json',
          '-p',
          '[{"op":"test","path":"/spec/replicas","value":77}]',
        ]),
        /testing value \/spec\/replicas failed/,
      );
    });

    check('edits and replaces', async () => {
      const editor = { KUBE_EDITOR: 'sed -i -e s/color:.blue/color:_green/ -e s/_/\\ /' };
      assert.match(await k('edit cm ssa', undefined, editor), /configmap\/ssa edited/);
      assert.equal(await k(['get', 'cm', 'ssa', '-o', 'jsonpath={.data.color}']), 'green');
      const yaml = await k('get cm ssa -o yaml');
      assert.match(await k('replace -f -', yaml.replace('green', 'black')), /configmap\/ssa replaced/);
      const stale = await fails('replace -f -', yaml.replace('green', 'white'));
      assert.match(
        stale,
        /Error from server \(Conflict\): .*the object has been modified; please apply your changes to the latest version/,
      );
      assert.match(
        await k('replace --force -f -', yaml.replace(/^ +(uid|resourceVersion):.*\n/gm, '')),
        /replaced/,
      );
      const widget = (await k('get wd small -o yaml')).replace('red', 'blue');
      assert.match(await k('replace -f -', widget), /widget\.example\.com\/small replaced/);
    });

    check('scales, and tells of roll-outs', async () => {
      assert.match(await k('scale deploy web --replicas=4'), /deployment\.apps\/web scaled/);
      assert.match(
        await fails('scale deploy web --replicas=1 --current-replicas=7'),
        /Expected replicas to be 7, was 4/,
      );
      await k('scale wd small --replicas=3');
      assert.equal(await k(['get', 'wd', 'small', '-o', 'jsonpath={.spec.replicas}']), '3');
      const { metadata, spec } = JSON.parse(await k('get deploy web -o json'));
      for (const [revision, image] of [
        ['1', 'a:1'],
        ['2', 'a:2'],
      ]) {
        const template = structuredClone(spec.template);
        template.spec.containers[0].image = image;
        template.metadata.labels['pod-template-hash'] = `h${revision}`;
        await k(
          'create -f -',
          JSON.stringify({
            apiVersion: 'apps/v1',
            kind: 'ReplicaSet',
            metadata: {
              name: `web-${revision}`,
              labels: template.metadata.labels,
              annotations: { 'deployment.kubernetes.io/revision': revision },
              ownerReferences: [
                {
                  apiVersion: 'apps/v1',
                  kind: 'Deployment',
                  name: 'web',
                  uid: metadata.uid,
                  controller: true,
                },
              ],
            },
            spec: { replicas: 0, selector: { matchLabels: template.metadata.labels }, template },
          }),
        );
      }
      await k('annotate deploy web deployment.kubernetes.io/revision=2');
      assert.match(await k('rollout history deploy web'), /REVISION +CHANGE-CAUSE\n1 +<none>\n2 +<none>/);
      assert.match(await k('rollout history deploy web --revision=1'), /Image:\s+a:1/);
      assert.match(await k('rollout undo deploy web'), /deployment\.apps\/web rolled back/);
      assert.equal(
        await k(['get', 'deploy', 'web', '-o', 'jsonpath={.spec.template.spec.containers[0].image}']),
        'a:1',
      );
      assert.match(await k('rollout pause deploy web'), /paused/);
      assert.match(await fails('rollout restart deploy web'), /paused/);
      assert.match(await k('rollout resume deploy web'), /resumed/);
      assert.match(await k('rollout restart deploy web'), /restarted/);
      await k('set image deploy web c=a:3');
      const { metadata: now } = JSON.parse(await k('get deploy web -o json'));
      await server.must(
        'PATCH /apis/apps/v1/namespaces/default/deployments/web/status',
        {
          status: {
            observedGeneration: now.generation,
            replicas: 4,
            updatedReplicas: 4,
            readyReplicas: 4,
            availableReplicas: 4,
          },
        },
        { 'content-type': 'application/merge-patch+json' },
      );
      assert.match(await k('rollout status deploy web'), /deployment "web" successfully rolled out/);
      assert.match(await k('get deploy web'), /^web +4\/4 +4 +4 /m);
    });

    check('says what is wrong with what it is given', async () => {
      const invalid = await fails(
        'create --validate=false -f -',
        deployment('a:1')
          .replace('name: web', 'name: Web_1')
          .replace('{labels: {app: web}}', '{labels: {app: other}}'),
      );
      assert.match(invalid, /The Deployment "Web_1" is invalid:/);
      assert.match(invalid, /\* metadata\.name: Invalid value: "Web_1": a lowercase RFC 1123 subdomain/);
      assert.match(
        invalid,
        /\* spec\.template\.metadata\.labels: Invalid value: .*`selector` does not match template `labels`/,
      );
      const unknown = await fails('create -f -', deployment('a:1').replace('replicas: 2', 'replicaz: 2'));
      assert.match(unknown, /unknown field "(spec\.)?replicaz"/);
      assert.match(
        await fails('create -f -', deployment('a:1')),
        /Error from server \(AlreadyExists\): .*deployments\.apps "web" already exists/,
      );
      assert.match(
        await fails('create -f -', 'apiVersion: v1\nkind: Nope\nmetadata: {name: x}\n'),
        /no matches for kind "Nope" in version "v1"/,
      );
      const immutable = await fails('apply -f -', deployment('a:1').replaceAll('app: web', 'app: other'));
      assert.match(immutable, /spec\.selector: Invalid value: .*field is immutable/);
      assert.match(await fails('create cm x -n nope'), /namespaces "nope" not found/);
      const widget = 'apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {color: 5}\n';
      assert.match(
        await fails('create --validate=false -f -', widget),
        /spec\.color: Invalid value: "integer": spec\.color in body must be of type string: "integer"/,
      );
    });

    check('makes things from its own words', async () => {
      await k('create ns made');
      await k('create deploy made --image=i --replicas=3 -n made');
      await k('expose deploy made --port=80 -n made');
      await k('run made --image=i -n default --restart=Never');
      await k('create secret generic made --from-literal=a=b -n made');
      await k('create role made --verb=get --resource=pods -n made');
      await k('create rolebinding made --role=made --serviceaccount=made:made -n made');
      await k('create sa made -n made');
      assert.match(
        await k('get deploy,svc,secret,role,rolebinding,sa -n made -o name'),
        /serviceaccount\/made/,
      );
      assert.match(await k('auth can-i create pods'), /^yes/);
      assert.match(await k('get pod made -o yaml'), /restartPolicy: Never/);
      await k('taint node n1 a=b:NoSchedule');
      await k('cordon n1');
      assert.match(await k('get nodes'), /Ready,SchedulingDisabled/);
      await k('uncordon n1');
      await k('set env deploy/made A=B -n made');
    });

    check(
      'asks for tokens, and who it is',
      async () => {
        const token = (await k('create token made -n made')).trim();
        assert.match(await k(['auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}']), /^admin$/);
        const whoami = await k([
          '--kubeconfig=/dev/null',
          `--server=${server.url}`,
          '--insecure-skip-tls-verify',
          `--token=${token}`,
          'auth',
          'whoami',
        ]);
        assert.match(whoami, /Username +system:serviceaccount:made:made/);
      },
      27,
    );

    check('shows events', async () => {
      const event = {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name: 'p1.1', namespace: 'default' },
        involvedObject: {
          kind: 'Pod',
          name: 'p1',
          namespace: 'default',
          uid: JSON.parse(await k('get pod p1 -o json')).metadata.uid,
        },
        reason: 'Pulled',
        message: 'Image is there',
        type: 'Normal',
        count: 2,
        firstTimestamp: new Date(Date.now() - 60_000).toISOString().replace(/\.\d+/, ''),
        lastTimestamp: new Date().toISOString().replace(/\.\d+/, ''),
        source: { component: 'kubelet', host: 'n1' },
      };
      await k('create -f -', JSON.stringify(event));
      assert.match(await k('get events'), /^\d+s +Normal +Pulled +pod\/p1 +Image is there$/m);
      assert.match(await k('get events -o wide'), /kubelet, n1/);
      assert.match(
        await k('describe pod p1'),
        /Normal +Pulled +\d+s \(x2 over \d+s\) +kubelet +Image is there/,
      );
      if (minor >= 27) assert.match(await k('events --for pod/p1'), /Pulled +Pod\/p1 +Image is there/);
    });

    check('waits for what comes to be', async () => {
      const waiting = k('wait pod/p1 --for=condition=Ready --timeout=20s');
      await server.must(
        'PATCH /api/v1/namespaces/default/pods/p1/status',
        { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } },
        { 'content-type': 'application/merge-patch+json' },
      );
      assert.match(await waiting, /pod\/p1 condition met/);
      assert.match(
        await fails('wait pod/p2 --for=condition=Ready --timeout=1s'),
        /timed out waiting for the condition/,
      );
      const gone = k('wait pod/made --for=delete --timeout=20s');
      await k('delete pod made --wait=false');
      await gone;
      if (minor >= 27) {
        assert.match(await k(['wait', 'pod/p1', '--for=jsonpath={.status.phase}=Running']), /condition met/);
      }
    });

    check('deletes, and waits until it is so', async () => {
      const deleting = k('delete pod p2');
      for (;;) {
        const pod = await server.send('/api/v1/namespaces/default/pods/p2');
        if (pod.body.metadata.deletionTimestamp) break;
      }
      await server.must('DELETE /api/v1/namespaces/default/pods/p2?gracePeriodSeconds=0');
      assert.match(await deleting, /pod "p2" deleted/);
      assert.match((await run('delete pod p3 --grace-period=0 --force')).out, /force deleted/);
      await k('delete pod p1 --now --wait=false');
      assert.ok(JSON.parse(await k('get pod p1 -o json')).metadata.deletionTimestamp);
      const cascades = minor < 20 ? [] : ['foreground', 'orphan', 'background'];
      for (const cascade of cascades) {
        await k(`delete rs r --cascade=${cascade} --wait=false --ignore-not-found`);
        const found = await server.send('/apis/apps/v1/namespaces/default/replicasets/r');
        const expected = { foreground: 'foregroundDeletion', orphan: 'orphan' }[cascade];
        if (expected) assert.deepEqual(found.body.metadata.finalizers, [expected]);
        else assert.equal(found.code, 404);
      }
      assert.match(await k('delete deploy -l app=web'), /deployment\.apps "web" deleted/);
      await k('delete cm --all');
      assert.match(await fails('delete cm nope'), /configmaps "nope" not found/);
      assert.equal(await k('delete cm nope --ignore-not-found'), '');
      assert.match(await k('delete crd widgets.example.com'), /deleted/);
      assert.match(
        await fails('get wd'),
        /the server (doesn't have a resource type|could not find the requested resource)/,
      );
    });
  });
}

/** One of each kind that `kubectl describe` is asked for. */
const EVERYTHING = [
  'kind: Secret\nmetadata: {name: s}\nstringData: {a: b}',
  'apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: alb}\nspec: {controller: a.b/c}',
  'apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec:\n  ingressClassName: alb\n  rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]',
  'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: np}\nspec: {podSelector: {}, policyTypes: [Ingress]}',
  'apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec: {maxUnavailable: 1, selector: {matchLabels: {a: b}}}',
  ...[
    ['DaemonSet', 'd', ''],
    ['StatefulSet', 'st', 'serviceName: web\n  '],
    ['ReplicaSet', 'r', ''],
  ].map(
    ([kind, name, more]) =>
      `apiVersion: apps/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec:\n  ${more}selector: {matchLabels: {n: ${name}}}\n  template: {metadata: {labels: {n: ${name}}}, spec: {containers: [{name: c, image: i}]}}`,
  ),
  'apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}',
  'apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\nrules: [{apiGroups: [""], resources: [pods], verbs: [get]}]',
  'apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: r}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}\nsubjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: alice}]',
  'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: r}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\nsubjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: alice}]',
  'apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: l}\nspec: {holderIdentity: me}',
  'apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: cr}\nrevision: 1\ndata: {}',
  `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {color: {type: string}, replicas: {type: integer}}}
          status: {type: object, properties: {replicas: {type: integer}}}`,
  'apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: small}\nspec: {color: red}',
]
  .map((text) => (text.startsWith('apiVersion') ? text : `apiVersion: v1\n${text}`))
  .join('\n---\n');
