/** The conformance suite that every blob store must pass. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { keyLengthMax, readBytesMax } from '../blob-keys.ts';
import type { BlobStore } from '../ports.ts';

export interface BlobSubject {
  blobs: BlobStore;
  /** Everything that the store keeps, including incomplete blobs and folders. */
  remains: () => Promise<string[]>;
  end: () => Promise<void>;
}

type Check = (title: string, body: (subject: BlobSubject) => Promise<void>) => void;

export function blobStoreConformance(name: string, open: () => Promise<BlobSubject>): void {
  const check: Check = (title, body) => {
    it(title, async () => {
      const subject = await open();
      try {
        await body(subject);
      } finally {
        await subject.end();
      }
    });
  };
  describe(`blob store: ${name}`, () => {
    whatIsStored(check);
    whatIsRefused(check);
    whatIsNeverSeen(check);
    whatIsRemoved(check);
  });
}

const key = 'jobs/a/input';
const from = (...chunks: (string | Buffer)[]) =>
  Readable.from(chunks.map((chunk) => Buffer.from(chunk as string)));

function whatIsStored(check: Check): void {
  check('a stored stream is read back unchanged, with its length and hash', async ({ blobs }) => {
    const bytes = randomBytes(200_000);
    const made = await blobs.createFromStream(key, from(bytes.subarray(0, 70_000), bytes.subarray(70_000)), {
      bytesMax: bytes.length,
    });
    assert.equal(made.bytes, bytes.length);
    assert.match(made.sha256, /^[0-9a-f]{64}$/);
    assert.deepEqual(await blobs.read(key), bytes);
    const { bytes: length, stream } = await blobs.stream(key);
    assert.equal(length, bytes.length);
    assert.deepEqual(await buffer(stream), bytes);
    assert.equal(await blobs.exists(key), true);
  });

  check('an empty blob can be stored and read', async ({ blobs }) => {
    assert.equal((await blobs.createFromStream(key, from(), { bytesMax: 1 })).bytes, 0);
    assert.deepEqual(await blobs.read(key), Buffer.alloc(0));
  });

  check('a written file is stored, and the result of its writer is returned', async ({ blobs }) => {
    for (const durable of [true, false]) {
      const said = await blobs.write(
        'jobs/a/table',
        async (file) => {
          writeFileSync(file, `table ${durable}`);
          return 42;
        },
        { durable },
      );
      assert.equal(said, 42);
      assert.equal(String(await blobs.read('jobs/a/table')), `table ${durable}`);
    }
  });

  check('a later blob replaces an earlier one, whose open reader continues', async ({ blobs }) => {
    await blobs.put(key, Buffer.from('first'));
    const { stream } = await blobs.stream(key);
    await blobs.put(key, Buffer.from('the second'));
    assert.equal(String(await blobs.read(key)), 'the second');
    assert.equal(String(await buffer(stream)), 'first');
  });

  check('the local path leads to the blob, also for writes in place', async ({ blobs }) => {
    await blobs.put('jobs/a/result-spool', Buffer.from('....'));
    writeFileSync(blobs.localPath('jobs/a/result-spool'), 'done', { flag: 'r+' });
    assert.equal(String(await blobs.read('jobs/a/result-spool')), 'done');
  });
}

const hostileKeys = [
  '',
  '/',
  '/etc/passwd',
  '..',
  '../outside',
  'jobs/../../outside',
  'jobs/a/..',
  'jobs//a',
  'jobs/a/',
  './jobs/a',
  'jobs/.aside/x',
  'jobs/a\0b',
  'jobs\\..\\a',
  'jobs/a b',
  'jobs/a\n',
  'jobs/à',
  'jobs/a[page=1]',
  `jobs/${'a'.repeat(129)}`,
  `jobs/${'a/'.repeat(keyLengthMax)}a`,
];

function whatIsRefused(check: Check): void {
  check('hostile keys reach no other path', async ({ blobs, remains }) => {
    const refused = { code: 'blob.bad_key' };
    for (const hostile of hostileKeys) {
      const calls: (() => unknown)[] = [
        () => blobs.createFromStream(hostile, from('x'), { bytesMax: 1 }),
        () => blobs.put(hostile, Buffer.from('x')),
        () => blobs.write(hostile, async (file) => writeFileSync(file, 'x')),
        () => blobs.read(hostile),
        () => blobs.stream(hostile),
        () => blobs.exists(hostile),
        () => blobs.remove(hostile),
        async () => blobs.localPath(hostile),
        () => blobs.removeAll(`${hostile}/`),
      ];
      for (const call of calls)
        await assert.rejects(async () => call(), refused, `${JSON.stringify(hostile)}: ${String(call)}`);
    }
    await assert.rejects(blobs.removeAll('jobs/a'), refused);
    assert.deepEqual(await remains(), []);
  });

  check('reading a missing blob fails with blob.not_found', async ({ blobs }) => {
    await assert.rejects(blobs.read(key), { code: 'blob.not_found', retriable: false });
    await assert.rejects(blobs.stream(key), { code: 'blob.not_found' });
    assert.equal(await blobs.exists(key), false);
    await blobs.put('jobs/a/input/deeper', Buffer.from('x'));
    await assert.rejects(blobs.read(key), { code: 'blob.not_found' });
    assert.equal(await blobs.exists(key), false);
  });

  check('a blob that is too large for memory is not read', async ({ blobs }) => {
    await blobs.put(key, Buffer.alloc(readBytesMax + 1));
    await assert.rejects(blobs.read(key), { code: 'blob.too_large' });
  });
}

function whatIsNeverSeen(check: Check): void {
  check('a blob is not visible before it is complete', async ({ blobs }) => {
    const source = new PassThrough();
    const created = blobs.createFromStream(key, source, { bytesMax: 100 });
    source.write('first half');
    await blobs.write('jobs/a/other', async (file) => {
      writeFileSync(file, 'half');
      assert.equal(await blobs.exists(key), false);
      assert.equal(await blobs.exists('jobs/a/other'), false);
    });
    source.end(' and the second');
    await created;
    assert.equal(String(await blobs.read(key)), 'first half and the second');
  });

  check('an interrupted stream leaves nothing behind', async ({ blobs, remains }) => {
    const source = new PassThrough();
    const created = blobs.createFromStream(key, source, { bytesMax: 100 });
    source.write('first half');
    const cut = new Error('the client went away');
    setImmediate(() => source.destroy(cut));
    await assert.rejects(created, cut);
    const stopped = new AbortController();
    const waiting = blobs.createFromStream(key, new PassThrough(), {
      bytesMax: 100,
      signal: stopped.signal,
    });
    stopped.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    assert.deepEqual(await remains(), []);
  });

  check('a stream above the limit is refused at once and leaves nothing behind', async (subject) => {
    const { blobs, remains } = subject;
    let sent = 0;
    const endless = new Readable({
      read() {
        sent += 10_000;
        this.push(Buffer.alloc(10_000));
      },
    });
    const options = { bytesMax: 100_000 };
    await assert.rejects(blobs.createFromStream(key, endless, options), { code: 'blob.too_large' });
    assert.ok(sent < 10_000_000, `${sent} bytes were taken`);
    await assert.rejects(blobs.createFromStream(key, from(Buffer.alloc(100_001)), options));
    await blobs.createFromStream('jobs/b/input', from(Buffer.alloc(100_000)), options);
    assert.equal(await blobs.exists(key), false);
    await blobs.removeAll('jobs/b/');
    assert.deepEqual(await remains(), []);
  });

  check('a writer that fails leaves nothing behind', async ({ blobs, remains }) => {
    const failing = async (file: string) => {
      writeFileSync(file, 'half');
      writeFileSync(path.join(path.dirname(file), 'beside.part'), 'half');
      throw new Error('no');
    };
    await assert.rejects(blobs.write(key, failing), /^Error: no$/);
    await assert.rejects(
      blobs.write(key, async () => undefined),
      { code: 'blob.not_found' },
    );
    assert.deepEqual(await remains(), []);
    await blobs.put(key, Buffer.from('kept'));
    await assert.rejects(blobs.write(key, failing), /^Error: no$/);
    assert.equal(String(await blobs.read(key)), 'kept');
  });
}

function whatIsRemoved(check: Check): void {
  check('removing takes one blob, or all blobs of one job', async ({ blobs, remains }) => {
    for (const each of ['jobs/a/input', 'jobs/a/chunk-1', 'jobs/ab/input'])
      await blobs.put(each, Buffer.from('x'));
    await blobs.remove('jobs/a/chunk-1');
    await blobs.remove('jobs/a/chunk-1');
    assert.equal(await blobs.exists('jobs/a/input'), true);
    await blobs.removeAll('jobs/a/');
    await blobs.removeAll('jobs/a/');
    assert.equal(await blobs.exists('jobs/a/input'), false);
    assert.equal(await blobs.exists('jobs/ab/input'), true);
    await blobs.remove('jobs/ab/input');
    assert.deepEqual(await remains(), []);
  });

  check('jobs are listed with the time since their last write', async ({ blobs }) => {
    assert.deepEqual(await blobs.listJobs(), []);
    await blobs.put('jobs/a/input', Buffer.from('x'));
    const source = new PassThrough();
    const half = blobs.createFromStream('jobs/b/input', source, { bytesMax: 10 });
    source.write('x');
    await blobs.put('jobs/b/table', Buffer.from('x'));
    const listed = (await blobs.listJobs()).sort((one, other) => (one.id < other.id ? -1 : 1));
    assert.deepEqual(
      listed.map(({ id }) => id),
      ['a', 'b'],
    );
    for (const { ageMs } of listed) assert.ok(ageMs >= 0 && ageMs < 60_000, `${ageMs}`);
    source.end();
    await half;
  });

  check('many writers to one folder that is removed when empty lose nothing', async ({ blobs, remains }) => {
    await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const mine = `jobs/a/chunk-${index}`;
        await blobs.put(mine, Buffer.from(mine));
        assert.equal(String(await blobs.read(mine)), mine);
        await blobs.remove(mine);
      }),
    );
    assert.deepEqual(await remains(), []);
  });
}
