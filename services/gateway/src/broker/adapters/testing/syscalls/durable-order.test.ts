import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readActivity } from './activity.ts';
import { acknowledgementsIn, violationsOfOrder } from './durable-order.ts';

const file = '/s/data.mdb';
const token = Buffer.from('token-1');
const hex = (bytes: string | Buffer) =>
  [...Buffer.from(bytes)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
const opened = (flags: string, descriptor: number) =>
  `1  openat(AT_FDCWD, "${hex(file)}", ${flags}) = ${descriptor}`;

const steps = {
  data: `2  pwrite64(5, "${hex('xx token-1 xx')}", 13, 8192) = 13`,
  sync: '2  fdatasync(5) = 0',
  meta: `2  pwrite64(6, "${hex('meta')}", 4, 4136) = 4`,
  plainMeta: `2  pwrite64(5, "${hex('meta')}", 4, 4136) = 4`,
  ack: `1  write(9, "${hex(Buffer.from([0x40, 2, 0, 7]))}", 4) = 4`,
  metaBegins: `2  pwrite64(6, "${hex('meta')}", 4, 4136 <unfinished ...>`,
  metaEnds: '2  <... pwrite64 resumed>) = 4',
};

function violations(...names: (keyof typeof steps)[]): string[] {
  const trace = [
    opened('O_RDWR|O_CREAT', 5),
    opened('O_WRONLY|O_DSYNC|O_CLOEXEC', 6),
    `1  pwrite64(5, "${hex(Buffer.alloc(8192))}", 8192, 0) = 8192`,
    '1  accept4(4, NULL, NULL, SOCK_CLOEXEC|SOCK_NONBLOCK) = 9',
    ...names.map((name) => steps[name]),
  ].join('\n');
  const activity = readActivity(trace, file);
  const acks = acknowledgementsIn(activity);
  assert.deepEqual(
    acks.map(({ connection, messageId }) => [connection, messageId]),
    [[0, 7]],
  );
  return violationsOfOrder(activity, [{ ...acks[0]!, token }]);
}

it('bytes, sync, durable meta page and PUBACK in this order are no violation', () => {
  assert.deepEqual(violations('data', 'sync', 'meta', 'ack'), []);
  assert.deepEqual(violations('data', 'sync', 'plainMeta', 'sync', 'ack'), []);
});

it('each step that is late or missing is named', () => {
  assert.match(violations('sync', 'meta', 'ack')[0]!, /never written/);
  assert.match(violations('data', 'meta', 'ack')[0]!, /no sync came between/);
  assert.match(violations('sync', 'data', 'meta', 'ack')[0]!, /no sync came between/);
  assert.match(violations('data', 'meta', 'sync', 'ack')[0]!, /no sync came between/);
  assert.match(violations('data', 'sync', 'ack', 'meta')[0]!, /meta page was not written before/);
  assert.match(violations('data', 'sync', 'plainMeta', 'ack', 'sync')[0]!, /not on the disk/);
  assert.match(violations('data', 'sync', 'metaBegins', 'ack', 'metaEnds')[0]!, /not on the disk/);
});

it('writes that a trace cannot show are refused instead of overlooked', () => {
  const start = opened('O_RDWR|O_CREAT', 5);
  const mapped = `${start}\n1  mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 5, 0) = 0x7f00`;
  assert.throws(() => readActivity(mapped, file), /mapped for writing/);
  assert.throws(() => readActivity(`${start}\n1  ftruncate(5, 0) = 0`, file), /ftruncate/);
  assert.throws(
    () => readActivity('1  io_uring_setup(64, {flags=IORING_SETUP_SQPOLL}) = 7', file),
    /io_uring/,
  );
});

it('writes without an offset go on where the last one ended', () => {
  const { writes } = readActivity(
    [
      opened('O_RDWR|O_CREAT', 5),
      '1  lseek(5, 8192, SEEK_SET) = 8192',
      `1  writev(5, [{iov_base="${hex('ab')}", iov_len=2}], 1) = 2`,
      `1  write(5, "${hex('c')}", 1) = 1`,
    ].join('\n'),
    file,
  );
  assert.deepEqual(
    writes.map(({ offset, bytes }) => [offset, bytes.toString()]),
    [
      [8192, 'ab'],
      [8194, 'c'],
    ],
  );
});
