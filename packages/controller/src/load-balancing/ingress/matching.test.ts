/** Listener rules hold what Ingresses say, by an oracle that goes by Kubernetes' words and knows nothing of rules. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ingress, Service } from '@enid/kube';
import fc from 'fast-check';
import type { ConditionSpec, RuleSpec } from '../model/stack.ts';
import { ingress, service, world } from './ingress.fixture.ts';
import { stackOfGroup } from './stack-of-group.ts';

type Request = { readonly host: string; readonly path: string };
type Path = { readonly pathType: string; readonly path?: string | undefined; readonly backend: unknown };

/** Letter by letter, `*` for any number of them and `?` for one. */
function globs(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] === '*')
    return globs(pattern.slice(1), text) || (text !== '' && globs(pattern, text.slice(1)));
  return (
    text !== '' && (pattern[0] === '?' || pattern[0] === text[0]) && globs(pattern.slice(1), text.slice(1))
  );
}

/** Elements between slashes, without an empty one at the end. */
const elements = (path: string) => path.replace(/\/$/, '').split('/').slice(1);

/** https://kubernetes.io/docs/concepts/services-networking/ingress/#path-types, and multiple matches. */
function chosen(paths: readonly Path[], request: string): Path | undefined {
  const exact = paths.find(({ pathType, path }) => pathType === 'Exact' && path === request);
  if (exact) return exact;
  const wanted = elements(request);
  const prefixes = paths
    .filter(({ pathType }) => pathType === 'Prefix')
    .filter(({ path = '' }) => elements(path).every((element, index) => element === wanted[index]));
  const longest = Math.max(...prefixes.map(({ path = '' }) => elements(path).length));
  const prefix = prefixes.find(({ path = '' }) => elements(path).length === longest);
  if (prefix) return prefix;
  return paths.find(
    ({ pathType, path = '' }) =>
      pathType === 'ImplementationSpecific' && (path === '' || globs(path, request)),
  );
}

/** Hosts in the order in which they are written; a host none of whose paths hold leaves the request to the next. */
function oracle(ingresses: readonly Ingress[], { host, path }: Request): string {
  for (const { spec } of ingresses) {
    for (const rule of spec?.rules ?? []) {
      if (rule.host !== undefined && !globs(rule.host, host)) continue;
      const found = chosen(rule.http?.paths ?? [], path);
      if (found) return JSON.stringify(found.backend);
    }
  }
  return 'none';
}

/** As an application load balancer does it: the first rule all of whose conditions hold. */
function served(rules: readonly RuleSpec[], { host, path }: Request): readonly RuleSpec[] {
  const texts: Record<string, string> = { 'host-header': host, 'path-pattern': path };
  const holds = ({ field, values }: ConditionSpec) =>
    values.some((value) => {
      const pattern = String(value)
        .replace(/[.+^${}()|[\]\\/]/g, '\\$&')
        .replaceAll('*', '.*')
        .replaceAll('?', '.');
      return new RegExp(`^${pattern}$`).test(texts[field]!);
    });
  return rules.filter(({ conditions }) => conditions.every(holds)).slice(0, 1);
}

const element = fc.constantFrom('a', 'b', 'ab', 'a.png');
const path = fc.array(element, { maxLength: 3 }).map((parts) => `/${parts.join('/')}`);
const slashed = fc
  .tuple(path, fc.constantFrom('', '/'))
  .map(([text, end]) => (text === '/' ? text : text + end));
const pattern = fc
  .tuple(slashed, fc.constantFrom('', '*', '/*', '?', '*.png'), fc.nat(4))
  .map(([text, wild, at]) => text.slice(0, at + 1) + wild);
const host = fc.constantFrom('a.test', 'b.test', 'x.a.test');
const paths = fc.uniqueArray(
  fc.oneof(
    fc.record({ pathType: fc.constant('Exact'), path: slashed }),
    fc.record({ pathType: fc.constant('Prefix'), path: slashed }),
    fc.record({ pathType: fc.constant('ImplementationSpecific'), path: pattern }),
  ),
  {
    minLength: 1,
    maxLength: 5,
    selector: ({ pathType, path }) =>
      pathType + elements(path).join('/') + (pathType === 'Prefix' ? '' : path),
  },
);
const rules = fc.array(
  fc.record({ host: fc.constantFrom('', 'a.test', 'b.test', '*.test', '*.a.test'), paths }),
  { maxLength: 3 },
);

test('a request goes where Kubernetes says that it goes, within a group of Ingresses', async () => {
  const requests = fc.array(fc.record({ host, path: slashed }), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(fc.array(rules, { minLength: 1, maxLength: 3 }), requests, async (drawn, asked) => {
      const services: Service[] = [];
      const ingresses: Ingress[] = [];
      for (const [index, each] of drawn.entries()) {
        const object = ingress(`shop/i${index}`, { annotations: { 'group.name': 'g' } });
        object.spec!.rules = each.map(({ host, paths }, rule) => ({
          ...(host && { host }),
          http: {
            paths: paths.map((one, at) => {
              const name = `s${index}-${rule}-${at}`;
              services.push(service(`shop/${name}`));
              return { ...one, backend: { service: { name, port: { number: 80 } } } };
            }),
          },
        }));
        ingresses.push(object);
      }
      const { stack, problems } = await stackOfGroup(
        { kind: 'ingress', group: 'g' },
        world({ ingresses, services }),
      );
      assert.deepEqual(problems, []);
      const [listener] = stack!.loadBalancer!.listeners;
      for (const request of asked) {
        const [rule] = served(listener!.rules, request);
        const [action] = rule?.actions ?? [];
        const [group] = action?.type === 'forward' ? action.targetGroups : [];
        const got = group && 'id' in group.group ? /s\d+-\d+-\d+/.exec(group.group.id)![0] : 'none';
        const wanted = oracle(ingresses, request);
        assert.equal(
          got,
          wanted === 'none' ? wanted : JSON.parse(wanted).service.name,
          JSON.stringify(request),
        );
      }
    }),
    { numRuns: 300 },
  );
});

test('paths match as the table of Kubernetes` documentation says', async () => {
  const cases: [pathType: string, paths: string[], request: string, matched: string | undefined][] = [
    ['Prefix', ['/'], '/any/thing', '/'],
    ['Exact', ['/foo'], '/foo', '/foo'],
    ['Exact', ['/foo'], '/bar', undefined],
    ['Exact', ['/foo'], '/foo/', undefined],
    ['Exact', ['/foo/'], '/foo', undefined],
    ['Prefix', ['/foo'], '/foo', '/foo'],
    ['Prefix', ['/foo'], '/foo/', '/foo'],
    ['Prefix', ['/foo/'], '/foo', '/foo/'],
    ['Prefix', ['/foo/'], '/foo/', '/foo/'],
    ['Prefix', ['/aaa/bb'], '/aaa/bbb', undefined],
    ['Prefix', ['/aaa/bbb'], '/aaa/bbb', '/aaa/bbb'],
    ['Prefix', ['/aaa/bbb/'], '/aaa/bbb', '/aaa/bbb/'],
    ['Prefix', ['/aaa/bbb'], '/aaa/bbb/', '/aaa/bbb'],
    ['Prefix', ['/aaa/bbb'], '/aaa/bbb/ccc', '/aaa/bbb'],
    ['Prefix', ['/aaa/bbb'], '/aaa/bbbxyz', undefined],
    ['Prefix', ['/', '/aaa'], '/aaa/ccc', '/aaa'],
    ['Prefix', ['/', '/aaa', '/aaa/bbb'], '/aaa/bbb', '/aaa/bbb'],
    ['Prefix', ['/', '/aaa', '/aaa/bbb'], '/ccc', '/'],
    ['Prefix', ['/aaa'], '/ccc', undefined],
  ];
  for (const [pathType, paths, request, matched] of cases) {
    const names = paths.map((_, index) => `s${index}`);
    const object = ingress('shop/i', {
      rules: { '': paths.map((path, index) => `${pathType} ${path} s${index}:80`) },
    });
    const cluster = world({ ingresses: [object], services: names.map((name) => service(`shop/${name}`)) });
    const { stack } = await stackOfGroup({ kind: 'ingress', namespace: 'shop', name: 'i' }, cluster);
    const [listener] = stack!.loadBalancer!.listeners;
    const [rule] = served(listener!.rules, { host: 'any.test', path: request });
    const action = rule?.actions[0];
    const group = action?.type === 'forward' ? action.targetGroups[0]!.group : undefined;
    const index = group && 'id' in group ? Number(/-s(\d)/.exec(group.id)![1]) : -1;
    assert.equal(paths[index], matched, `${pathType} ${paths} for ${request}`);
  }
});
