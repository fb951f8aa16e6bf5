import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ownsService } from './owned.ts';
import { type ServiceFixture, service } from './services.fixture.ts';

const noClass = { loadBalancerClass: undefined };

const CASES: readonly [what: string, ours: boolean, of: ServiceFixture][] = [
  ['of our class', true, {}],
  ['of another class', false, { spec: { loadBalancerClass: 'example.com/other' } }],
  [
    'of another class, annotated for us',
    false,
    {
      annotations: { type: 'nlb-ip' },
      spec: { loadBalancerClass: 'example.com/other' },
    },
  ],
  [
    'external, with a target type',
    true,
    {
      annotations: { type: 'external', 'nlb-target-type': 'ip' },
      spec: noClass,
    },
  ],
  ['external for somebody else', false, { annotations: { type: 'external' }, spec: noClass }],
  ['nlb-ip', true, { annotations: { type: 'nlb-ip' }, spec: noClass }],
  ['nlb, which is of the cloud provider', false, { annotations: { type: 'nlb' }, spec: noClass }],
  ['without a word', false, { spec: noClass }],
  ['of another type', false, { spec: { type: 'NodePort' } }],
];

for (const [what, ours, of] of CASES) {
  it(`a Service ${what} is ${ours ? 'ours' : 'not ours'}`, () =>
    assert.equal(ownsService(service(of)), ours));
}
