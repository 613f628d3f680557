import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gather, missing, type Party } from './rendezvous.ts';

const party = (id: string, role: string, epoch: number): Party<null> => ({
  id,
  role,
  document: null,
  epoch: BigInt(epoch),
});

describe('who has met', () => {
  const parties = [party('late', 'worker', 9), party('early', 'worker', 3), party('m', 'master', 5)];

  it('a meeting consists of all parties of the needed roles, oldest first', () => {
    const met = gather(parties, { worker: 1 });
    assert.deepEqual(
      [...(met ?? [])].map(([role, those]) => [role, those.map(({ id }) => id)]),
      [['worker', ['early', 'late']]],
    );
    assert.equal(gather(parties, {})?.size, 0);
  });

  it('there is no meeting while a party is missing, and the message names its role', () => {
    const needs = { worker: 3, master: 1, scribe: 1 };
    assert.equal(gather(parties, needs), undefined);
    assert.equal(missing(parties, needs), 'worker: 2 of 3, scribe: 0 of 1');
  });
});
