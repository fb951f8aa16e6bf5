import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fields, StoredObject } from '../object.ts';
import { BUILT_IN } from '../registry/resources.ts';
import { duration } from './column.ts';
import { asTable } from './index.ts';
import { valueByJsonPath } from './json-path.ts';

const now = Date.parse('2026-01-01T12:00:00Z');

function row(kind: string, object: Fields): Record<string, unknown> {
  const resource = BUILT_IN.find((candidate) => candidate.kind === kind)!;
  const metadata = { name: 'x', creationTimestamp: '2026-01-01T11:59:30Z', ...(object.metadata as Fields) };
  const table = asTable(resource, [{ ...object, metadata } as StoredObject], {}, 'None', now) as {
    columnDefinitions: { name: string }[];
    rows: { cells: unknown[] }[];
  };
  return Object.fromEntries(table.columnDefinitions.map(({ name }, i) => [name, table.rows[0]!.cells[i]]));
}

const running = { ready: true, restartCount: 0, state: { running: {} } };
const waiting = (reason: string) => ({ ready: false, restartCount: 3, state: { waiting: { reason } } });
const ended = (exitCode: number, reason?: string) => ({
  ready: false,
  restartCount: 0,
  state: { terminated: { exitCode, reason } },
});

test('a pod is shown by the most telling word', () => {
  const pod = (
    statuses: Fields[],
    phase: string,
    more: { init?: Fields[]; spec?: Fields; metadata?: Fields } = {},
  ) =>
    row('Pod', {
      metadata: more.metadata,
      spec: {
        containers: statuses.map((_, i) => ({ name: `c${i}` })),
        initContainers: more.init?.map((_, i) => ({ name: `i${i}`, ...more.spec })),
      },
      status: {
        phase,
        containerStatuses: statuses.map((status, i) => ({ name: `c${i}`, ...status })),
        initContainerStatuses: more.init?.map((status, i) => ({ name: `i${i}`, ...status })),
      },
    });
  const word = (...args: Parameters<typeof pod>) => {
    const { Ready, Status } = pod(...args);
    return `${Ready} ${Status}`;
  };
  assert.equal(word([running, running], 'Running'), '2/2 Running');
  assert.equal(word([running, waiting('CrashLoopBackOff')], 'Running'), '1/2 CrashLoopBackOff');
  assert.equal(word([ended(0, 'Completed')], 'Succeeded'), '0/1 Completed');
  assert.equal(word([ended(3)], 'Failed'), '0/1 ExitCode:3');
  assert.equal(word([ended(137, 'OOMKilled')], 'Running'), '0/1 OOMKilled');
  const starting = waiting('PodInitializing');
  assert.equal(word([starting], 'Pending', { init: [ended(0), { state: { running: {} } }] }), '0/1 Init:1/2');
  assert.equal(word([starting], 'Pending', { init: [ended(1, 'Error')] }), '0/1 Init:Error');
  assert.equal(
    word([starting], 'Pending', { init: [waiting('ImagePullBackOff')] }),
    '0/1 Init:ImagePullBackOff',
  );
  const sidecar = { init: [{ ...running, started: true }], spec: { restartPolicy: 'Always' } };
  assert.equal(word([running], 'Running', sidecar), '2/2 Running');
  const deleting = { metadata: { deletionTimestamp: '2026-01-01T12:00:00Z' } };
  assert.equal(word([running], 'Running', deleting), '1/1 Terminating');
  const restarted = {
    ...running,
    restartCount: 4,
    lastState: { terminated: { exitCode: 1, finishedAt: '2026-01-01T11:57:00Z' } },
  };
  assert.equal(pod([restarted], 'Running').Restarts, '4 (3m ago)');
});

test('services, jobs and others, as the real server shows them', () => {
  const lb = row('Service', {
    spec: {
      type: 'LoadBalancer',
      clusterIP: '10.0.0.1',
      ports: [
        { port: 80, nodePort: 30080, protocol: 'TCP' },
        { port: 53, protocol: 'UDP' },
      ],
    },
  });
  assert.deepEqual([lb['External-IP'], lb['Port(s)'], lb.Age], ['<pending>', '80:30080/TCP,53/UDP', '30s']);
  const job = row('Job', {
    spec: { completions: 3, parallelism: 1 },
    status: { succeeded: 2, startTime: '2026-01-01T11:50:00Z' },
  });
  assert.deepEqual([job.Status, job.Completions, job.Duration], ['Running', '2/3', '10m']);
  const slice = row('EndpointSlice', {
    addressType: 'IPv4',
    ports: [],
    endpoints: ['1', '2', '3', '4', '5'].map((address) => ({ addresses: [address] })),
  });
  assert.deepEqual([slice.Ports, slice.Endpoints], ['<unset>', '1,2,3 + 2 more...']);
  const node = row('Node', {
    spec: { unschedulable: true },
    status: { conditions: [{ type: 'Ready', status: 'Unknown' }] },
  });
  assert.equal(node.Status, 'NotReady,SchedulingDisabled');
});

test('durations are shown ever more coarsely', () => {
  const [second, minute, hour, day] = [1000, 60_000, 3_600_000, 86_400_000];
  for (const [milliseconds, expected] of [
    [-500, '0s'],
    [-2 * second, '<invalid>'],
    [119 * second, '119s'],
    [2 * minute, '2m'],
    [9 * minute + 59 * second, '9m59s'],
    [10 * minute + 30 * second, '10m'],
    [179 * minute, '179m'],
    [3 * hour + 5 * minute, '3h5m'],
    [47 * hour, '47h'],
    [2 * day + 3 * hour, '2d3h'],
    [30 * day, '30d'],
    [800 * day, '2y70d'],
    [9 * 365 * day, '9y'],
  ] as const) {
    assert.equal(duration(milliseconds), expected);
  }
});

test('printer columns find their values', () => {
  const object = {
    spec: {
      'dotted.name': 1,
      list: [
        { name: 'a', port: 1 },
        { name: 'b', port: 2 },
      ],
    },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  };
  for (const [path, expected] of [
    ['.spec.list[1].port', 2],
    ['.spec.list[?(@.name=="b")].port', 2],
    ['.status.conditions[?(@.type=="Ready")].status', 'True'],
    ['.spec.list[*].name', 'a'],
    ['.spec.none.deeper', undefined],
    ['.spec.constructor', undefined],
    [".spec['dotted.name']", 1],
  ] as const) {
    assert.equal(valueByJsonPath(object, path), expected, path);
  }
});
