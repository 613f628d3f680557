import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { compare } from './compare.ts';
import { listLedgers, readLedger } from './file.ts';
import { openRotatingLedger } from './rotating.ts';

const bytesMax = 16_000;
const startedAtMs = Date.UTC(2026, 0, 1);

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'rotating-'));
});
after(async () => rm(folder, { recursive: true }));

const open = (name: string) =>
  openRotatingLedger({
    folder: path.join(folder, name),
    name: 'fleet',
    header: { mesh: 'main', devicePrefix: 'room-', devices: 3, options: {} },
    bytesMax,
  });
const reading = (device: number, number: number) =>
  ({
    device,
    number,
    measuredAtMs: startedAtMs + number,
    celsius: '20.5',
    setpointCelsius: '21',
    humidityPercent: '',
    heating: '0',
  }) as const;
const ledgersOf = async (name: string) =>
  Promise.all((await listLedgers(path.join(folder, name))).map(readLedger));

describe('a ledger without an end', () => {
  it('stays within its size, and each segment that remains can be read alone', async () => {
    const ledger = open('size');
    for (let number = 1_000_000; number < 1_002_000; number++) {
      ledger.sent(reading(1, number));
      // The last ones are always open, so they are carried into the next segment.
      if (number >= 1_000_005) ledger.acked(1, number - 5);
    }
    ledger.close();
    const names = await readdir(path.join(folder, 'size'));
    const sizes = await Promise.all(names.map((name) => stat(path.join(folder, 'size', name))));
    const bytes = sizes.reduce((sum, { size }) => sum + size, 0);
    assert.ok(names.length >= 4 && bytes <= bytesMax, `${names.length} segments, ${bytes} bytes`);
    const ledgers = await ledgersOf('size');
    const last = ledgers.at(-1);
    assert.ok(last !== undefined && last.header.partial === true);
    assert.ok(last.entries.find(1, 1_001_999) >= 0 && last.entries.find(1, 1_000_000) < 0);
    assert.ok(ledgers.slice(0, -1).every(({ acked }) => acked > 10));
  });

  it('after a kill every sent line is there, and a new process begins a new segment', async () => {
    const first = open('kill');
    first.sent(reading(1, 7));
    first.sent(reading(2, 3));
    first.acked(1, 7);
    first.flush();
    first.acked(2, 3); // The process is killed before it writes this line.
    const second = open('kill');
    second.sent(reading(2, 3));
    second.sent(reading(2, 3));
    second.acked(2, 3);
    second.close();
    const counts = (await ledgersOf('kill')).map(({ sent, acked, resent, end }) => [
      ...[sent, acked, resent],
      end !== null,
    ]);
    assert.deepEqual(counts, [
      [2, 1, 0, false],
      [1, 1, 1, true],
    ]);
  });

  it('a row that a segment does not know is no finding, a missing one is lost', async () => {
    const ledger = open('rows');
    for (const number of [5, 6, 4]) ledger.sent(reading(1, number));
    for (const number of [4, 5, 6]) ledger.acked(1, number);
    ledger.close();
    const [segment] = await ledgersOf('rows');
    assert.ok(segment !== undefined);
    const row = (seq: number, celsius: number) => ({
      deviceId: 'room-1',
      incarnation: 0,
      seq,
      measuredAtMs: startedAtMs + seq,
      celsius,
      setpointCelsius: 21,
      humidityPercent: null,
      heating: false,
      receivedAtMs: 0,
      committedAtMs: 0,
    });
    const found = await compare(segment, [row(1, 3), row(4, 20.5), row(5, 20), row(900, 3)], []);
    assert.deepEqual(
      [found.acked, found.stored, found.lost, found.corrupted, found.neverSent],
      [3, 2, 1, 1, 0],
    );
  });

  it('a ledger that cannot be written fails, and begins a new segment later', async () => {
    await writeFile(path.join(folder, 'blocked'), '');
    assert.throws(() => open('blocked'), { code: 'ledger.unwritable' });
    await rm(path.join(folder, 'blocked'));
    const ledger = open('blocked');
    ledger.sent(reading(1, 1));
    ledger.close();
    assert.equal((await ledgersOf('blocked')).length, 1);
  });
});
