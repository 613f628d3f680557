import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseTrace, plainArguments, stringsOf } from './parse.ts';

const hex = (text: string) =>
  [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');

it('a call in one line has its name, arguments, result and place', () => {
  const [call, ...more] = parseTrace(`7  pwrite64(22, "${hex('ab')}", 2, 4096) = 2\n`);
  assert.deepEqual(more, []);
  assert.deepEqual(
    [call!.thread, call!.name, call!.result, call!.begin, call!.end],
    [7, 'pwrite64', 2, 0, 1],
  );
  assert.deepEqual(plainArguments(call!), ['22', 'string', '2', '4096']);
  assert.deepEqual(stringsOf(call!), [Buffer.from('ab')]);
});

it('a call that others interrupt ends where it is resumed', () => {
  const calls = parseTrace(
    [
      '7  fdatasync(22 <unfinished ...>',
      '8  write(30, "\\x40\\x02\\x00\\x01", 4) = 4',
      '7  <... fdatasync resumed>)          = 0',
    ].join('\n'),
  );
  assert.deepEqual(
    calls.map(({ name, args, begin, end }) => [name, args, begin, end]),
    [
      ['fdatasync', '22', 0, 5],
      ['write', '30, "\\x40\\x02\\x00\\x01", 4', 2, 3],
    ],
  );
});

it('the buffers of a vectored write come in their order', () => {
  const [call] = parseTrace(
    `7 writev(22, [{iov_base="${hex('a')}", iov_len=1}, {iov_base="${hex('b')}", iov_len=1}], 2) = 2`,
  );
  assert.equal(Buffer.concat(stringsOf(call!)).toString(), 'ab');
  assert.deepEqual(plainArguments(call!), ['22', 'structure', '2']);
});

it('a failed call, a signal and the end of a process do not confuse the reader', () => {
  const calls = parseTrace(
    [
      `7  openat(AT_FDCWD, "${hex('x')}", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)`,
      '7  --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---',
      '8  fdatasync(22 <unfinished ...>',
      '7  +++ exited with 0 +++',
      '8  <... fdatasync resumed>)          = ?',
    ].join('\n'),
  );
  assert.deepEqual(
    calls.map(({ name, result, end }) => [name, result, end]),
    [
      ['openat', -1, 1],
      ['fdatasync', undefined, Infinity],
    ],
  );
});

it('a string that strace has cut off is refused, not taken for the whole', () => {
  assert.throws(() => stringsOf({ name: 'write', args: '1, "\\x61"..., 9' }), RangeError);
});
