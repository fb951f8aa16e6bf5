import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import koffi from 'koffi';
import * as sys from '../syscalls.ts';
import { MalformedMessageError, MessageWriter } from './attributes.ts';
import { buildRequest, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR } from './message.ts';
import { NetlinkSocket } from './socket.ts';

const socketpair = koffi
  .load(null)
  .func('int socketpair(int domain, int type, int protocol, _Out_ int *fds)');
const request = buildRequest('RTM_GETTHING', 18, 0, () => {});
const NLM_F_ACK_TLVS = 0x200;

/** A socket to this test in the kernel's place. What the kernel would say is queued before it is asked. */
function socketWith(t: TestContext): { socket: NetlinkSocket; say: (...messages: Uint8Array[]) => void } {
  const fds = [0, 0];
  assert.equal(
    socketpair(1 /* AF_UNIX */, 5 /* SOCK_SEQPACKET */ | sys.SOCK_CLOEXEC | sys.SOCK_NONBLOCK, 0, fds),
    0,
  );
  const [ours, kernel] = fds as [number, number];
  const socket = new NetlinkSocket(ours);
  t.after(() => {
    socket.close();
    closeSync(kernel);
  });
  return { socket, say: (...messages) => sys.send(kernel, Buffer.concat(messages)) };
}

function message(type: number, flags: number, sequence: number, ...payload: number[]): Uint8Array {
  const writer = new MessageWriter()
    .u32(16 + payload.length)
    .u16(type)
    .u16(flags)
    .u32(sequence)
    .u32(0);
  return writer.raw(Uint8Array.from(payload)).take();
}
const done = (sequence: number) => message(NLMSG_DONE, 0, sequence, 0, 0, 0, 0);
const read = (payload: Uint8Array) => payload[0];

test('a dump in many parts is read to its end', (t) => {
  const { socket, say } = socketWith(t);
  say(message(16, 2, 1, 10, 0, 0, 0), message(16, 2, 1, 11, 0, 0, 0));
  say(message(16, 2, 1, 12, 0, 0, 0));
  say(done(1));
  assert.deepEqual(socket.dump(request, read), [10, 11, 12]);
});

test('an interrupted dump is done again', (t) => {
  const { socket, say } = socketWith(t);
  say(message(16, 2, 1, 10, 0, 0, 0));
  say(message(16, 2 | NLM_F_DUMP_INTR, 1, 11, 0, 0, 0), done(1));
  say(message(16, 2, 2, 12, 0, 0, 0));
  say(message(NLMSG_DONE, NLM_F_DUMP_INTR, 2, 0, 0, 0, 0));
  say(message(16, 2, 3, 13, 0, 0, 0), done(3));
  assert.deepEqual(socket.dump(request, read), [13]);
});

test('a dump that never gets through is an error', (t) => {
  const { socket, say } = socketWith(t);
  for (let i = 1; i <= 20; i++) say(message(NLMSG_DONE, NLM_F_DUMP_INTR, i, 0, 0, 0, 0));
  assert.throws(() => socket.dump(request, read), {
    code: 'EINTR',
    message: /RTM_GETTHING: interrupted by changes/,
  });
});

test('an object that makes no sense fails its dump, and no other', (t) => {
  const { socket, say } = socketWith(t);
  say(message(16, 2, 1, 10, 0, 0, 0), message(16, 2, 1, 11, 0, 0, 0));
  say(done(1));
  say(message(16, 2, 2, 12, 0, 0, 0), done(2));
  const fail = () => {
    throw new MalformedMessageError('nonsense');
  };
  assert.throws(() => socket.dump(request, fail), MalformedMessageError);
  assert.deepEqual(socket.dump(request, read), [12]);
});

test('what is left of an answer that was not read is passed over', (t) => {
  const { socket, say } = socketWith(t);
  assert.throws(() => socket.batch([request]), { code: 'EAGAIN' });
  say(message(NLMSG_ERROR, 0, 1, 0xff, 0xff, 0xff, 0xff, ...new Array(16).fill(0)));
  say(message(NLMSG_ERROR, 0, 2, 0, 0, 0, 0, ...new Array(16).fill(0)));
  assert.deepEqual(socket.batch([request]), [null]);
});

test('a refused dump carries what the kernel said', (t) => {
  const { socket, say } = socketWith(t);
  const text = [...Buffer.from('no\0\0')];
  say(message(NLMSG_DONE, NLM_F_ACK_TLVS, 1, 0xea, 0xff, 0xff, 0xff, 7, 0, 1, 0, ...text));
  assert.throws(() => socket.dump(request, read), { code: 'EINVAL', extAck: 'no' });
});

test('the request that an acknowledgement quotes in full is passed over', (t) => {
  const { socket, say } = socketWith(t);
  const quoted = [20, 0, 0, 0, ...new Array(16).fill(1)];
  say(
    message(
      NLMSG_ERROR,
      NLM_F_ACK_TLVS,
      1,
      0xef,
      0xff,
      0xff,
      0xff,
      ...quoted,
      7,
      0,
      1,
      0,
      ...Buffer.from('no\0\0'),
    ),
  );
  assert.deepEqual(socket.batch([request])[0]?.message, 'netlink RTM_GETTHING: no (EEXIST)');
});

test("a closed socket is not used: its number may be another's", (t) => {
  const { socket } = socketWith(t);
  socket.close();
  socket.close();
  assert.throws(() => socket.batch([request]), /is closed/);
});
