import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AccountFixture, account, PRIVATE, PUBLIC, subnet } from './account.fixture.ts';
import { InvalidObject } from './model/errors.ts';
import { resolveSubnets, type SubnetRequest } from './subnets.ts';

const source = 'annotation example/subnets';
const resolve = async (
  { names = [], ...request }: Partial<SubnetRequest> & { readonly names?: readonly string[] } = {},
  fixture: AccountFixture = {},
) => {
  const named = { object: 'Service shop/web', source, names };
  const subnets = await resolveSubnets(account(fixture), 'shop', {
    scheme: 'internal',
    zones: 1,
    named,
    ...request,
  });
  return subnets.map(({ id }) => id);
};
const refuses = (message: RegExp, ...of: Parameters<typeof resolve>) =>
  assert.rejects(resolve(...of), (error) => {
    assert.ok(error instanceof InvalidObject);
    assert.match(error.message, message);
    return true;
  });

describe('subnets by their tags', () => {
  it('are those of the scheme, one in each zone', async () => {
    assert.deepEqual(await resolve(), ['subnet-priv-a', 'subnet-priv-b']);
    assert.deepEqual(await resolve({ scheme: 'internet-facing' }), ['subnet-pub-a', 'subnet-pub-b']);
  });

  it('are, of several in a zone, the one tagged for the cluster, then the first by id', async () => {
    const shop = { ...PRIVATE, 'kubernetes.io/cluster/shop': 'shared' };
    const subnets = [
      subnet('subnet-4', 'b', '10.0.4.0/24', PRIVATE),
      subnet('subnet-3', 'b', '10.0.3.0/24', PRIVATE),
      subnet('subnet-1', 'a', '10.0.1.0/24', PRIVATE),
      subnet('subnet-2', 'a', '10.0.2.0/24', shop),
    ];
    assert.deepEqual(await resolve({}, { subnets }), ['subnet-2', 'subnet-3']);
  });

  it('may have an empty role tag, and no other value', async () => {
    const role = 'kubernetes.io/role/internal-elb';
    const subnets = [
      subnet('subnet-1', 'a', '10.0.1.0/24', { [role]: '' }),
      subnet('subnet-2', 'b', '10.0.2.0/24', { [role]: '0' }),
    ];
    assert.deepEqual(await resolve({}, { subnets }), ['subnet-1']);
  });

  it('are not those of other clusters, nor those that are nearly full, and the error says what to do', async () => {
    const subnets = [
      subnet('subnet-1', 'a', '10.0.1.0/24', PRIVATE, 7),
      subnet('subnet-2', 'b', '10.0.2.0/24', { ...PRIVATE, 'kubernetes.io/cluster/other': 'owned' }),
      subnet('subnet-3', 'c', '10.0.3.0/24', PUBLIC),
    ];
    await refuses(
      /Service shop\/web: .*tagged kubernetes\.io\/role\/internal-elb=1.*subnet-2 tagged .* other clusters and subnet-1 with fewer than 8 free.*Tag subnets, or name them by annotation example\/subnets/,
      {},
      { subnets },
    );
    assert.deepEqual(await resolve({ freeAddresses: 0 }, { subnets }), ['subnet-1']);
  });

  it('must be in as many zones as the load balancer needs', async () => {
    const subnets = [subnet('subnet-1', 'a', '10.0.1.0/24', PUBLIC)];
    await refuses(
      /internet-facing .*kubernetes\.io\/role\/elb=1, in 2 zones at least; vpc-1 has them in 1 zone/,
      { scheme: 'internet-facing', zones: 2 },
      { subnets },
    );
  });
});

describe('subnets of the load balancer that there is', () => {
  it('stay when others would be found now, and when they have filled up', async () => {
    const subnets = [
      subnet('subnet-1', 'a', '10.0.1.0/24', PRIVATE),
      subnet('subnet-2', 'a', '10.0.2.0/24', {}, 0),
    ];
    assert.deepEqual(await resolve({ present: ['subnet-2'] }, { subnets }), ['subnet-2']);
  });

  it('give way to those that the user names', async () => {
    const names = ['subnet-priv-b'];
    assert.deepEqual(await resolve({ present: ['subnet-priv-a'], names }), names);
  });
});

describe('subnets by name', () => {
  it('are found by id and by the tag Name, and ordered by id', async () => {
    assert.deepEqual(await resolve({ names: ['private-b', 'subnet-pub-a'] }), [
      'subnet-priv-b',
      'subnet-pub-a',
    ]);
  });

  it('must be there, of one meaning, each in a zone of its own, and enough', async () => {
    await refuses(/names "subnet-9": no subnet of vpc-1 has that id/, { names: ['subnet-9'] });
    await refuses(/names subnet-pub-a and subnet-priv-a: both are in us-east-1a/, {
      names: ['public-a', 'private-a'],
    });
    await refuses(/names 1 subnet: there must be 2/, { names: ['public-a'], zones: 2 });
    const twice = [
      subnet('subnet-1', 'a', '10.0.1.0/24', { Name: 'x' }),
      subnet('subnet-2', 'b', '10.0.2.0/24', { Name: 'x' }),
    ];
    await refuses(/names "x": several subnets/, { names: ['x'] }, { subnets: twice });
  });
});
