/** What kubectl shows. */
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { forEachKubectl } from './kubectl.fixture.ts';
import { deployment, EVERYTHING, POD, WIDGET } from './manifests.fixture.ts';

forEachKubectl((of) => {
  const { check, fails, k, run } = of;

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

  check('gets, in all ways', async () => {
    for (const [name, tier] of [
      ['p1', 'front'],
      ['p2', 'back'],
      ['p3', 'back'],
    ] as const) {
      await k('create -f -', POD(name, tier));
    }
    await k('create -f -', deployment('a:1'));
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
    const child = of.spawn('get cm -w --output-watch-events --field-selector=metadata.name=watched');
    const lines = createInterface(child.stdout!)[Symbol.asyncIterator]();
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
    await k('create cm described --from-literal=a=1');
    await k('create -f -', EVERYTHING);
    await k('create -f -', WIDGET);
    const kinds =
      'cm secret sa ingress ingressclass netpol pdb ds sts job rs crd role rolebinding clusterrole clusterrolebinding priorityclass lease endpointslice controllerrevision';
    const old = new Set(of.minor < 21 ? ['ingress', 'pdb', 'endpointslice'] : []);
    for (const kind of kinds.split(' ')) {
      if (old.has(kind)) continue;
      const text = await k(`describe ${kind}`);
      assert.match(text, /^Name: +\S/m, kind);
    }
    assert.match(await k('describe sts st'), /^Replicas: +1 desired/m);
    assert.match(await k('describe wd small'), /^Spec:\n +Color: +red$/m);
  });

  check('shows events', async () => {
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'p1.1', namespace: 'default' },
      involvedObject: {
        apiVersion: 'v1',
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
    if (of.minor >= 27) assert.match(await k('events --for pod/p1'), /Pulled +Pod\/p1 +Image is there/);
  });

  check(
    'asks for tokens, and who it is',
    async () => {
      const token = (await k('create token default')).trim();
      assert.match(await k(['auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}']), /^admin$/);
      const whoami = await k([
        '--kubeconfig=/dev/null',
        `--server=${of.server.url}`,
        '--insecure-skip-tls-verify',
        `--token=${token}`,
        'auth',
        'whoami',
      ]);
      assert.match(whoami, /Username +system:serviceaccount:default:default/);
    },
    27,
  );
});
