import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Accounts } from '@thermomesh/contracts';
import { addComparisons, type Comparison } from '@thermomesh/ledger';
import type { JobRecord } from '../mesh/evidence/jobs.ts';
import { processorKeyOf } from '../mesh/payments/judge.ts';
import { judgeAccepted, lookAtJobs, type Work } from './accepted.ts';
import { judgeBalance } from './balance.ts';
import { findChargeFaults, type BookedPayment } from './charges.ts';
import { judgeImages } from './images.ts';
import { judgeCompared } from './stored.ts';
import { allOf } from './verdicts.ts';

const none = { kind: 'none', reason: 'no equalizer' } as const;
const ledger = (counts: Partial<Comparison>) => ({
  run: 'r1',
  qos: 1 as const,
  live: false,
  comparison: { ...addComparisons([]), sent: 10, acked: 10, stored: 10, ...counts },
});

describe('the verdict of all promises', () => {
  it('a verdict that was not looked at is null, and a broken one outweighs it', () => {
    assert.equal(allOf([{ ok: true }, { ok: true }]), true);
    assert.equal(allOf([{ ok: true }, { ok: null }]), null);
    assert.equal(allOf([{ ok: null }, { ok: false }, { ok: true }]), false);
    assert.equal(allOf([]), null);
  });
});

describe('I1, judged by ledgers', () => {
  it('without a ledger, or without one acknowledged reading, nothing is judged', () => {
    assert.equal(judgeCompared([], [], undefined).ok, null);
    assert.equal(judgeCompared([ledger({ acked: 0, stored: 0 })], [], undefined).ok, null);
  });

  it('a lost, doubled or changed reading breaks the promise', () => {
    assert.equal(judgeCompared([ledger({})], [], undefined).ok, true);
    for (const counts of [{ lost: 1 }, { duplicated: 1 }, { corrupted: 1 }]) {
      assert.equal(judgeCompared([ledger({}), ledger(counts)], [], undefined).ok, false);
    }
  });

  it('before the drain a missing row proves nothing, a changed one does', () => {
    assert.equal(judgeCompared([ledger({ lost: 1 })], [], 'the backlog').ok, null);
    assert.equal(judgeCompared([ledger({ corrupted: 1 })], [], 'the backlog').ok, false);
    assert.equal(judgeCompared([ledger({})], [], 'the backlog').ok, true);
  });

  it('a ledger that cannot be read leaves the promise unjudged', () => {
    const verdict = judgeCompared([ledger({})], ['r2.ledger, line 3: not JSON'], undefined);
    assert.equal(verdict.ok, null);
    assert.match(verdict.detail, /line 3/);
  });
});

describe("I3, judged by the card processor's ledger", () => {
  const id = '11111111-1111-4111-8111-111111111111';
  const payment = (more: Partial<BookedPayment> = {}): BookedPayment => ({
    transactionId: id,
    caller: 'gateway',
    amountMinor: 500,
    currency: 'EUR',
    outcome: 'charged',
    ...more,
  });
  const charge = (more = {}) => ({
    key: processorKeyOf(id),
    status: 'charged',
    amountMinor: 500,
    currency: 'EUR',
    ...more,
  });

  it('one charge of each charged payment is right, and a second one is found', () => {
    assert.deepEqual(findChargeFaults([charge()], [payment()]), []);
    const twice = [charge(), charge({ key: `${processorKeyOf(id)}/2` })];
    assert.match(findChargeFaults(twice, [payment()]).join(), /2 times/);
  });

  it('books and ledger that disagree about a payment are found', () => {
    assert.match(findChargeFaults([], [payment()]).join(), /has no charge/);
    assert.match(findChargeFaults([charge()], [payment({ outcome: 'declined' })]).join(), /has charged it/);
    assert.match(findChargeFaults([charge({ amountMinor: 501 })], [payment()]).join(), /charged 501/);
    assert.match(findChargeFaults([charge()], []).join(), /no payment explains/);
    // Another caller's payment with the same UUID has another key.
    assert.match(findChargeFaults([charge()], [payment({ caller: 'shop' })]).join(), /no payment explains/);
    assert.deepEqual(findChargeFaults([charge()], [payment({ outcome: null })]), []);
  });
});

const job = (more: Partial<JobRecord>): JobRecord => ({
  id: 'j1',
  acceptedAtMs: 0,
  over: { phase: 'finished', reason: null },
  identical: undefined,
  ...more,
});

describe('I4, judged by results', () => {
  it('without a comparison I4 is null, and one differing result breaks it', () => {
    assert.equal(judgeImages([job({})], none).ok, null);
    assert.equal(judgeImages([job({ identical: true })], none).ok, true);
    assert.equal(judgeImages([job({ identical: true }), job({ identical: false })], none).ok, false);
  });
});

describe('I5, judged by what callers know to be accepted', () => {
  const work = (more: Partial<Work>): Work => ({
    what: 'orders',
    over: 3,
    faults: [],
    unknown: 0,
    ...more,
  });

  it('a kind of work without any evidence leaves I5 unjudged', () => {
    assert.equal(judgeAccepted([work({})]).ok, true);
    assert.equal(judgeAccepted([work({}), work({ over: 0, unseen: 'no image job' })]).ok, null);
    assert.equal(judgeAccepted([work({ over: 0, unknown: 4 })]).ok, null);
    assert.equal(judgeAccepted([work({ faults: ['checkout c1 is gone'] }), work({ unseen: 'x' })]).ok, false);
  });

  it('a failed job needs a reason, and a job without a known end is asked for', async () => {
    const failed = job({ over: { phase: 'failed', reason: null } });
    assert.equal((await lookAtJobs(undefined, [failed], none, 1)).faults.length, 1);
    const open = job({ over: undefined });
    const running = { read: async () => ({ phase: 'mapping' }) as never };
    assert.match((await lookAtJobs(running, [open], none, 1)).faults.join(), /no end/);
    const ended = { read: async () => ({ phase: 'failed', reason: 'damaged' }) as never };
    assert.equal((await lookAtJobs(ended, [open], none, 1)).over, 1);
  });
});

describe('I6, judged at rest', () => {
  const accounts = (more: Partial<Accounts>): Accounts => ({
    accepted: 5,
    stored: 4,
    duplicate: 0,
    rejected: 1,
    buffered: 0,
    inFlight: 0,
    balanced: true,
    ...more,
  });
  const judged = async (more: Partial<Accounts>) =>
    (await judgeBalance({ sample: async () => accounts(more), timeoutMs: 20, pollMs: 1 })).ok;

  it('accounts of an unused mesh, or with an unknown term, are not judged', async () => {
    assert.equal(await judged({}), true);
    assert.equal(await judged({ accepted: 0, stored: 0, rejected: 0 }), null);
    assert.equal(await judged({ accepted: null, balanced: null }), null);
    assert.equal(await judged({ accepted: 6 }), false);
  });
});
