import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { LedgerError } from './errors.ts';
import { listLedgers, openLedger, readLedger } from './file.ts';
import { header } from './fixtures.ts';

const line = {
  device: 0,
  number: 0,
  atUs: 5,
  measuredAtMs: -3,
  celsius: '20',
  setpointCelsius: '',
  humidityPercent: '',
  heating: '',
} as const;

describe('a ledger on disk', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'ledger-'));
  });
  after(async () => rm(folder, { recursive: true }));

  it('a ledger on disk reads back as written, with its end line', async () => {
    const file = path.join(folder, 'deep', 'a.ledger');
    const writer = openLedger(file, header);
    for (let number = 0; number < 5000; number++) writer.sent({ ...line, number });
    writer.poisoned({ device: 1, number: 0, atUs: 7, reason: 'not_json', sha: '00112233aabbccdd', bytes: 3 });
    writer.acked(0, 4999, 30);
    writer.resent(1, 0, 31);
    writer.close(false);
    const ledger = await readLedger(file);
    assert.deepEqual(ledger.end, { sent: 5001, acked: 1, poisoned: 1, resent: 1, interrupted: false });
    assert.equal(ledger.entries.expectedReason(ledger.entries.findPoison(1, '00112233aabbccdd')), 'not_json');
    assert.deepEqual(await listLedgers(path.join(folder, 'deep')), [file]);
  });

  it('after flush every sent line is on disk, and a torn line is ignored', async () => {
    const file = path.join(folder, 'b.ledger');
    const writer = openLedger(file, header);
    writer.sent(line);
    writer.flush();
    writer.acked(0, 0, 9); // still in the buffer: the ledger claims less, never more
    await appendFile(file, 'S,0,1,7');
    const ledger = await readLedger(file);
    assert.deepEqual([ledger.sent, ledger.acked, ledger.torn, ledger.end], [1, 0, true, null]);
  });

  it('a ledger of an earlier run is never overwritten', () => {
    const file = path.join(folder, 'c.ledger');
    openLedger(file, header).close(false);
    assert.throws(
      () => openLedger(file, header),
      (error: unknown) => error instanceof LedgerError && error.code === 'ledger.exists',
    );
  });

  it('a missing folder has no ledgers', async () => {
    assert.deepEqual(await listLedgers(path.join(folder, 'none')), []);
  });
});
