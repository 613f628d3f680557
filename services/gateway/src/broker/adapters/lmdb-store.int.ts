import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { it } from 'node:test';
import { temporaryFolder } from '@thermomesh/testing';
import { storeConformance } from '../core/conformance/store-conformance.ts';
import { readNumber } from '../core/keys.ts';
import { openLmdbStore } from './lmdb-store.ts';
import { folderFor } from '../../testing.ts';

const mapBytesMax = 2 ** 27;

storeConformance('lmdb', async () => {
  const temporary = await temporaryFolder('gateway');
  const { folder } = temporary;
  let store = await openLmdbStore({ path: folder, mapBytesMax });
  return {
    store,
    reopen: async () => {
      await store.close();
      return (store = await openLmdbStore({ path: folder, mapBytesMax }));
    },
    end: async () => {
      await store.close();
      await temporary[Symbol.asyncDispose]();
    },
  };
});

it('a store whose making a power loss cut off is made again', async (t) => {
  const folder = await folderFor(t);
  // What a draft may be at that moment: a part of its first meta page.
  await writeFile(path.join(folder, 'new.mdb'), Buffer.alloc(6656, 1));
  const store = await openLmdbStore({ path: folder, mapBytesMax });
  await store.commit([{ table: 'meta', key: Buffer.from('a'), value: Buffer.from('b') }]).durable;
  await store.close();
  assert.deepEqual((await readdir(folder)).sort(), ['data.mdb', 'lock.mdb']);
});

for (const bytes of [0, 1, 6656, 8191]) {
  it(`a store of which ${bytes} bytes are left is refused by name, and stays as it is`, async (t) => {
    const folder = await folderFor(t);
    const file = path.join(folder, 'data.mdb');
    await writeFile(file, Buffer.alloc(bytes, 1));
    await assert.rejects(openLmdbStore({ path: folder, mapBytesMax }), {
      code: 'store.failed',
      message: new RegExp(`data\\.mdb is cut off: it has ${bytes} bytes`),
    });
    assert.equal((await stat(file)).size, bytes);
  });
}

it('repeated kills during commits lose no durable record and leave none half written', async (t) => {
  const folder = await folderFor(t);
  let reported = 0;
  for (let round = 0; round < 5; round++) {
    reported = Math.max(reported, await writeUntilKilled(folder, 3000 + round * 1777));
    const store = await openLmdbStore({ path: folder, mapBytesMax });
    const last = readNumber(store.get('meta', Buffer.from('last'))!);
    const records = [...store.range('drain')];
    await store.close();
    assert.ok(last >= reported, `record ${reported} was durable, but ${last} is the last one`);
    // Counter and records belong to the same commit.
    assert.deepEqual(
      records.map(({ key }) => readNumber(key)),
      Array.from({ length: last }, (_, index) => index + 1),
    );
    for (const { key, value } of records) {
      const number = readNumber(key);
      assert.ok(
        value.equals(Buffer.alloc(100 + (number % 5000), number % 251)),
        `record ${number} is damaged`,
      );
    }
  }
});

/** Runs the writer, kills it after `records` more records, and returns the last one it reported. */
async function writeUntilKilled(folder: string, records: number): Promise<number> {
  const script = path.join(import.meta.dirname, 'testing', 'store-writer.ts');
  const child = spawn(process.execPath, [script, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  let first: number | undefined;
  let last = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    const lines = text.split('\n');
    text = lines.pop()!;
    if (lines.length === 0) return;
    first ??= Number(lines[0]);
    last = Number(lines.at(-1));
    if (last - first >= records) child.kill('SIGKILL');
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  assert.equal(signal, 'SIGKILL', `the writer ended by itself with ${code}`);
  return last;
}

it('a file that cannot grow fails commits until removals free space', async (t) => {
  const folder = await folderFor(t);
  const script = path.join(import.meta.dirname, 'testing', 'full-disk.ts');
  // A file size limit, in blocks of 512 bytes, stands in for the full disk: the same call of the
  // engine fails.
  const child = spawn('sh', ['-c', 'ulimit -f 4096; exec "$0" "$@"', process.execPath, script, folder], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.resume();
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 0);
  const { codes, left, written } = JSON.parse(output) as { codes: string[]; left: number; written: number };
  // The last write is written in part, which the engine reports as an I/O error; the disk has free
  // space, so the code is usually store.failed.
  assert.equal(codes.length, 3);
  assert.ok(
    codes.every((known) => known === 'store.failed' || known === 'store.full'),
    codes.join(),
  );
  assert.ok(written > 5, `${written} records fitted`);
  assert.equal(left, written - 3 + 1);
});
