/** How things come and go with kubectl. */
import assert from 'node:assert/strict';
import { forEachKubectl } from './kubectl.fixture.ts';
import { deployment, EVERYTHING, POD, WIDGET } from './manifests.fixture.ts';

forEachKubectl((of) => {
  const { check, fails, k, run } = of;

  check('makes all kinds of things', async () => {
    await k('create -f -', EVERYTHING);
    await k('create -f -', WIDGET);
    await k('create -f -', deployment('a:2'));
    for (const name of ['p1', 'p2', 'p3']) await k('create -f -', POD(name, 'front'));
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
    await of.server.must(
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

  check('waits for what comes to be', async () => {
    const waiting = k('wait pod/p1 --for=condition=Ready --timeout=20s');
    await of.server.must(
      'PATCH /api/v1/namespaces/default/pods/p1/status',
      { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } },
      { 'content-type': 'application/merge-patch+json' },
    );
    assert.match(await waiting, /pod\/p1 condition met/);
    assert.match(
      await fails('wait pod/p2 --for=condition=Ready --timeout=1s'),
      /timed out waiting for the condition/,
    );
    const gone = await of.watching('wait pod/made --for=delete --timeout=20s');
    await k('delete pod made --wait=false');
    assert.equal((await gone.ended).code, 0);
    if (of.minor >= 27) {
      assert.match(await k(['wait', 'pod/p1', '--for=jsonpath={.status.phase}=Running']), /condition met/);
    }
  });

  check('drains a node as far as budgets allow', async () => {
    for (const name of ['d1', 'd2']) await k('create -f -', POD(name, 'drained'));
    await of.server.must(
      'PATCH /api/v1/namespaces/default/pods/d1/status',
      { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } },
      { 'content-type': 'application/merge-patch+json' },
    );
    const budget = (tier: string) =>
      `apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: keep}\nspec: {minAvailable: 1, selector: {matchLabels: {tier: ${tier}}}}\n`;
    await k('create -f -', budget('drained'));
    // As the control loop would say it.
    await of.server.must(
      'PATCH /apis/policy/v1/namespaces/default/poddisruptionbudgets/keep/status',
      { status: { observedGeneration: 1, disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1 } },
      { 'content-type': 'application/merge-patch+json' },
    );
    const drain = 'drain n1 --force --ignore-daemonsets --grace-period=0 --pod-selector=tier=drained';
    assert.match(await fails(`${drain} --timeout=1s`), /Cannot evict pod as it would violate|timeout/);
    assert.equal(await k('get pods -l tier=drained -o name'), 'pod/d1\n', 'd2 does not run, and may go');
    await k('delete -f -', budget('drained'));
    assert.match(await k(`${drain} --timeout=20s`), /pod\/d1 evicted/);
    assert.match(await k('get node n1'), /SchedulingDisabled/);
    await k('uncordon n1');
  });

  check('deletes, and waits until it is so', async () => {
    const deleting = k('delete pod p2');
    for (;;) {
      const pod = await of.server.send('/api/v1/namespaces/default/pods/p2');
      if (pod.body.metadata.deletionTimestamp) break;
    }
    await of.server.must('DELETE /api/v1/namespaces/default/pods/p2?gracePeriodSeconds=0');
    assert.match(await deleting, /pod "p2" deleted/);
    assert.match((await run('delete pod p3 --grace-period=0 --force')).out, /force deleted/);
    await k('delete pod p1 --now --wait=false');
    assert.ok(JSON.parse(await k('get pod p1 -o json')).metadata.deletionTimestamp);
    const cascades = of.minor < 20 ? [] : ['foreground', 'orphan', 'background'];
    for (const cascade of cascades) {
      await k(`delete rs r --cascade=${cascade} --wait=false --ignore-not-found`);
      const found = await of.server.send('/apis/apps/v1/namespaces/default/replicasets/r');
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
