/** What kubectl changes, and what it is refused. */
import assert from 'node:assert/strict';
import { forEachKubectl } from './kubectl.fixture.ts';
import { deployment, EVERYTHING, POD, WIDGET } from './manifests.fixture.ts';

forEachKubectl((of) => {
  const { check, fails, k, run } = of;

  check('makes all kinds of things', async () => {
    await k('create -f -', EVERYTHING);
    assert.match(await k('create -f -', WIDGET), /widget\.example\.com\/small created/);
    await k('create -f -', POD('p1', 'front'));
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
    assert.match(await k('apply --dry-run=server -f -', deployment('a:9')), /configured \(server dry run\)/);
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
      /testing value \/spec\/replicas failed|^The request is invalid/,
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
});
