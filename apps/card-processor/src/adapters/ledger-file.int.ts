import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { findStrace } from '@thermomesh/servers';
import { openLedgerFile } from './ledger-file.ts';

interface Line {
  n: number;
  text: string;
}
let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'card-processor-'));
  file = path.join(folder, 'charges.log');
});
afterEach(() => rmSync(folder, { recursive: true }));

async function fill(count: number): Promise<void> {
  const ledger = await openLedgerFile<Line>(file);
  await Promise.all(Array.from({ length: count }, (_, n) => ledger.append({ n, text: 'é'.repeat(n) })));
  await ledger.close();
}

async function read(): Promise<{ count: number; tornBytes: number }> {
  const ledger = await openLedgerFile<Line>(file);
  await ledger.close();
  assert.deepEqual(
    ledger.entries.map(({ n }) => n),
    ledger.entries.map((_, n) => n),
  );
  return { count: ledger.entries.length, tornBytes: ledger.tornBytes };
}

it('appended entries are read again in order', async () => {
  await fill(50);
  assert.deepEqual(await read(), { count: 50, tornBytes: 0 });
});

it('a torn last line is cut off, and the next entry has a line of its own', async () => {
  await fill(5);
  const whole = readFileSync(file);
  const lastStart = whole.lastIndexOf(0x0a, whole.length - 2) + 1;
  for (let length = lastStart + 1; length < whole.length; length++) {
    writeFileSync(file, whole.subarray(0, length));
    const ledger = await openLedgerFile<Line>(file);
    assert.equal(ledger.entries.length, 4);
    assert.equal(ledger.tornBytes, length - lastStart);
    await ledger.append({ n: 4, text: 'again' });
    await ledger.close();
    assert.deepEqual(await read(), { count: 5, tornBytes: 0 });
  }
});

it('a last line with a wrong checksum counts as torn', async () => {
  await fill(3);
  appendFileSync(file, `00000000 {"n":3,"text":""}\n`);
  assert.equal((await read()).count, 3);
});

it('a damaged line in the middle is an error and nothing is cut off', async () => {
  await fill(5);
  const text = readFileSync(file, 'utf8').replace('"n":2', '"n":9');
  writeFileSync(file, text);
  await assert.rejects(read(), { code: 'ledger.corrupt' });
  assert.equal(readFileSync(file, 'utf8'), text);
});

const skip = process.platform === 'linux' ? false : 'strace exists on Linux only';

it('the name of a new ledger is on the disk before its first entry is durable', { skip }, async () => {
  const strace = await findStrace(
    path.resolve(import.meta.dirname, '../../../../.mesh/tools'),
    process.env['PATH'] ?? '',
  );
  if ('missing' in strace) throw new Error(strace.missing);
  const trace = path.join(folder, 'trace');
  const source = JSON.stringify(pathToFileURL(path.join(import.meta.dirname, 'ledger-file.ts')));
  const program = `const { openLedgerFile } = await import(${source});
    const ledger = await openLedgerFile(${JSON.stringify(file)});
    await ledger.append({ n: 0, text: '' });
    await ledger.close();`;
  execFileSync(
    strace.program,
    [
      ...['-f', '-y', '-e', 'trace=fsync,fdatasync', '-o', trace],
      ...Object.keys(strace.env).flatMap((name) => ['-E', name]),
      ...[process.execPath, '--input-type=module', '--eval', program],
    ],
    { env: { ...process.env, ...strace.env, UV_USE_IO_URING: '0' } },
  );
  const synced = [...readFileSync(trace, 'utf8').matchAll(/f(?:data)?sync\(\d+<([^>]+)>/g)];
  assert.deepEqual(
    synced.map(([, name]) => name),
    [folder, file],
  );
});
