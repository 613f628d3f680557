import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { filesOfTar, framesOf } from './formats.ts';

const frame = (text: string) => {
  const head = Buffer.alloc(8);
  head[0] = 1;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
};

const entry = (name: string, content: string, type = '0') => {
  const head = Buffer.alloc(512);
  head.write(name, 0);
  head.write(Buffer.byteLength(content).toString(8).padStart(11, '0'), 124);
  head.write(type, 156);
  const body = Buffer.alloc(Math.ceil(Buffer.byteLength(content) / 512) * 512);
  body.write(content);
  return Buffer.concat([head, body]);
};

describe('logs of the engine', () => {
  it('logs of the engine become text without their frame headers', () => {
    assert.equal(framesOf(Buffer.concat([frame('{"a":1}\n'), frame('ö\n')])), '{"a":1}\nö\n');
  });

  it('a log that ends within a frame gives the bytes that are there', () => {
    const whole = Buffer.concat([frame('one\n'), frame('two\n')]);
    assert.equal(framesOf(whole.subarray(0, whole.length - 2)), 'one\ntw');
    assert.equal(framesOf(whole.subarray(0, 15)), 'one\n');
  });
});

describe('files of a container', () => {
  it('files of a container are found by name, whatever folder they are in', () => {
    const archive = Buffer.concat([
      entry('secrets/', '', '5'),
      entry('secrets/secret', 'a'.repeat(600)),
      entry('secrets/database.url', 'postgresql://x\n'),
      Buffer.alloc(1024),
    ]);
    assert.deepEqual(filesOfTar(archive), { secret: 'a'.repeat(600), 'database.url': 'postgresql://x\n' });
  });
});
