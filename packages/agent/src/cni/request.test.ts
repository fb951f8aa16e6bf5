import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CniError } from './error.ts';
import { answerVersion, decodeFrame, parseRequest } from './request.ts';

const env = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'b2c7d9',
  CNI_NETNS: '/run/netns/pod',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0',
};
const config = { cniVersion: '1.1.0', name: 'aws-cni', type: 'aws-cni' };

function frame(changes: Record<string, string | undefined> = {}, stdin: unknown = config) {
  const variables = Object.entries({ ...env, ...changes }).filter(([, value]) => value !== undefined);
  return {
    env: new Map(variables as [string, string][]),
    stdin: typeof stdin === 'string' ? stdin : JSON.stringify(stdin),
  };
}

test('a call is read whole', () => {
  assert.deepEqual(parseRequest(frame()), {
    command: 'ADD',
    key: { network: 'aws-cni', containerId: 'b2c7d9', ifName: 'eth0' },
    netns: '/run/netns/pod',
    args: new Map([
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAMESPACE', 'default'],
      ['K8S_POD_NAME', 'web-0'],
    ]),
    config: { cniVersion: '1.1.0', name: 'aws-cni' },
  });
});

test('DEL does without a namespace, GC and STATUS without an attachment, VERSION without anything', () => {
  assert.equal(parseRequest(frame({ CNI_COMMAND: 'DEL', CNI_NETNS: '' })).command, 'DEL');
  const none = { CNI_CONTAINERID: undefined, CNI_NETNS: undefined, CNI_IFNAME: undefined };
  assert.equal(parseRequest(frame({ ...none, CNI_COMMAND: 'GC' })).command, 'GC');
  assert.equal(parseRequest(frame({ ...none, CNI_COMMAND: 'STATUS' })).command, 'STATUS');
  assert.equal(parseRequest(frame({ ...none, CNI_COMMAND: 'VERSION' }, '')).command, 'VERSION');
});

test('the executable frames its message with NUL bytes', () => {
  const { env, stdin } = decodeFrame(Buffer.from('CNI_COMMAND=ADD\0CNI_ARGS=A=1;B=2\0CNI_PATH=\0\0{"a":\0}'));
  assert.deepEqual(
    [...env],
    [
      ['CNI_COMMAND', 'ADD'],
      ['CNI_ARGS', 'A=1;B=2'],
      ['CNI_PATH', ''],
    ],
  );
  assert.equal(stdin, '{"a":\0}');
  assert.deepEqual(decodeFrame(Buffer.from('\0')), { env: new Map(), stdin: '' });
  for (const cut of ['', 'CNI_COMMAND=AD', 'CNI_COMMAND=ADD\0']) {
    assert.throws(() => decodeFrame(Buffer.from(cut)), { code: 5 });
  }
});

const longName = 'a'.repeat(16);
const malformed: [string, Record<string, string | undefined>, unknown, number, RegExp][] = [
  ['no command', { CNI_COMMAND: undefined }, config, 4, /CNI_COMMAND is not set/],
  ['unknown command', { CNI_COMMAND: 'MUL' }, config, 4, /CNI_COMMAND "MUL" is unknown/],
  ['a method of Object as command', { CNI_COMMAND: 'constructor' }, config, 4, /unknown/],
  ['lower case command', { CNI_COMMAND: 'add' }, config, 4, /CNI_COMMAND "add" is unknown/],
  [
    'nothing set',
    { CNI_CONTAINERID: undefined, CNI_NETNS: undefined, CNI_IFNAME: '' },
    config,
    4,
    /CNI_CONTAINERID, CNI_IFNAME, CNI_NETNS must be set for ADD/,
  ],
  ['CHECK without namespace', { CNI_COMMAND: 'CHECK', CNI_NETNS: '' }, config, 4, /CNI_NETNS must be set/],
  [
    'container id of a path',
    { CNI_CONTAINERID: '../../etc' },
    config,
    4,
    /CNI_CONTAINERID "\.\.\/\.\.\/etc"/,
  ],
  ['interface name too long', { CNI_IFNAME: longName }, config, 4, /CNI_IFNAME "a{16}"/],
  ['interface name in bytes', { CNI_IFNAME: 'ä'.repeat(8) }, config, 4, /CNI_IFNAME/],
  ['interface name with a slash', { CNI_IFNAME: 'a/b' }, config, 4, /CNI_IFNAME/],
  ['interface name with a colon', { CNI_IFNAME: 'eth0:1' }, config, 4, /CNI_IFNAME/],
  ['interface name with a blank', { CNI_IFNAME: 'eth 0' }, config, 4, /CNI_IFNAME/],
  ['interface name of dots', { CNI_IFNAME: '..' }, config, 4, /CNI_IFNAME/],
  ['broken arguments', { CNI_ARGS: 'K8S_POD_NAME' }, config, 4, /CNI_ARGS has "K8S_POD_NAME"/],
  ['no configuration', {}, '', 6, /not JSON/],
  ['broken JSON', {}, '{"cniVersion":', 6, /not JSON/],
  ['JSON that is no object', {}, '[]', 6, /not a JSON object/],
  ['JSON null', {}, 'null', 6, /not a JSON object/],
  ['no version', {}, { name: 'aws-cni' }, 1, /no cniVersion/],
  ['version of the past', {}, { ...config, cniVersion: '0.2.0' }, 1, /"0\.2\.0"/],
  ['version of the future', {}, { ...config, cniVersion: '9.9.9' }, 1, /"9\.9\.9"/],
  ['version of another type', {}, { ...config, cniVersion: 1 }, 1, /cniVersion 1/],
  [
    'CHECK before 0.4.0',
    { CNI_COMMAND: 'CHECK' },
    { ...config, cniVersion: '0.3.1' },
    1,
    /CHECK does not exist/,
  ],
  ['GC before 1.1.0', { CNI_COMMAND: 'GC' }, { ...config, cniVersion: '1.0.0' }, 1, /GC does not exist/],
  [
    'STATUS before 1.1.0',
    { CNI_COMMAND: 'STATUS' },
    { ...config, cniVersion: '0.4.0' },
    1,
    /STATUS does not/,
  ],
  ['no network name', {}, { ...config, name: undefined }, 7, /name/],
  ['network name of a path', {}, { ...config, name: '../x' }, 7, /name: must begin/],
  ['prevResult of another type', {}, { ...config, prevResult: 'x' }, 7, /prevResult/],
  [
    'prevResult with broken ips',
    {},
    { ...config, prevResult: { ips: [{}] } },
    7,
    /prevResult\.ips\.0\.address/,
  ],
  [
    'broken attachments',
    { CNI_COMMAND: 'GC' },
    { ...config, 'cni.dev/valid-attachments': [{}] },
    7,
    /valid-attachments/,
  ],
];

for (const [title, changes, stdin, code, message] of malformed) {
  test(`malformed: ${title}`, () => {
    assert.throws(
      () => parseRequest(frame(changes, stdin)),
      (error) => error instanceof CniError && error.code === code && message.test(error.message),
    );
  });
}

test('an answer carries the version asked with, or the newest when that cannot be read', () => {
  assert.equal(answerVersion('{"cniVersion":"0.4.0"}'), '0.4.0');
  assert.equal(answerVersion('{"cniVersion":"0.2.0"}'), '0.2.0');
  for (const text of ['', '{', 'null', '[]', '{"cniVersion":4}', '{"cniVersion":"<x>"}']) {
    assert.equal(answerVersion(text), '1.1.0', text);
  }
});
