import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DataRefusedError } from '@thermomesh/sql';
import { applyEntries, SeqConflictError } from './apply.ts';
import { nothingApplied, type Applied, type Entry } from './batch.ts';

function entry(logId: number): Entry {
  const reading = {
    deviceId: 'd',
    incarnation: 0,
    seq: logId,
    measuredAtMs: 0,
    celsius: 1,
    setpointCelsius: null,
    humidityPercent: null,
    heating: null,
  };
  return {
    logId,
    previousLogId: logId - 1,
    receivedAtMs: 0,
    deviceId: 'd',
    raw: Buffer.from('x'),
    parsed: { reading },
    implausible: false,
  };
}

/**
 * A database that refuses some rows, holds others with different values, and records the order of
 * the inserts.
 */
function database(refused: Set<number>, conflicting: Set<number>) {
  const stored: number[] = [];
  const rejected = new Map<number, string>();
  let transactions = 0;
  async function applyOnce(entries: readonly Entry[]): Promise<Applied> {
    transactions++;
    const readings = entries.filter(({ parsed }) => 'reading' in parsed).map(({ logId }) => logId);
    if (readings.some((logId) => refused.has(logId))) throw new DataRefusedError(new Error('no'), '22003');
    const conflicts = readings.filter((logId) => conflicting.has(logId));
    if (conflicts.length > 0) throw new SeqConflictError(conflicts);
    stored.push(...readings);
    for (const { logId, parsed } of entries)
      if ('rejection' in parsed) rejected.set(logId, parsed.rejection.reason);
    return { ...nothingApplied, stored: readings.length, rejected: entries.length - readings.length };
  }
  return { applyOnce, stored, rejected, transactions: () => transactions };
}

describe('applyEntries', () => {
  it('every entry is stored or rejected once, in order, whichever rows conflict', async () => {
    const ids = fc.uniqueArray(fc.integer({ min: 1, max: 64 }), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 64 }), ids, ids, async (count, refused, conflicting) => {
        const { applyOnce, stored, rejected } = database(new Set(refused), new Set(conflicting));
        const entries = Array.from({ length: count }, (_, i) => entry(i + 1));
        const applied = await applyEntries(entries, applyOnce);
        assert.deepEqual(
          stored,
          [...stored].sort((a, b) => a - b),
        );
        assert.deepEqual(
          [...stored, ...rejected.keys()].sort((a, b) => a - b),
          entries.map(({ logId }) => logId),
        );
        for (const [logId, reason] of rejected) {
          const expected = refused.includes(logId) ? ['refused_by_database'] : ['seq_conflict'];
          if (refused.includes(logId) && conflicting.includes(logId)) expected.push('seq_conflict');
          assert.ok(expected.includes(reason));
        }
        assert.equal(applied.stored + applied.rejected, count);
      }),
    );
  });

  it('one poison row among n costs about 2·log2(n) transactions, not n', async () => {
    const { applyOnce, transactions } = database(new Set([700]), new Set());
    await applyEntries(
      Array.from({ length: 1024 }, (_, i) => entry(i + 1)),
      applyOnce,
    );
    assert.ok(transactions() <= 2 * 10 + 2, `${transactions()} transactions`);
  });

  it('an error that is not about data stops the batch at once', async () => {
    await assert.rejects(
      applyEntries([entry(1)], () => Promise.reject(new Error('gone'))),
      /gone/,
    );
  });

  it('a rejection that the database refuses too is not retried without limit', async () => {
    const poison: Entry = {
      ...entry(1),
      parsed: { rejection: { reason: 'not_json', detail: '', seq: null } },
    };
    await assert.rejects(
      applyEntries([poison], () => Promise.reject(new DataRefusedError(new Error('no'), '22000'))),
      DataRefusedError,
    );
  });

  it('a conflict outside the batch is an error, not an endless loop', async () => {
    await assert.rejects(
      applyEntries([entry(1)], () => Promise.reject(new SeqConflictError([99]))),
      RangeError,
    );
  });
});
