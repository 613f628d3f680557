import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Accounts, isDocument, type AccountsDocument, type BrokerDocument } from '@thermomesh/contracts';
import { renderQos0 } from '../commands/view/status.ts';
import { judgeBalance } from '../verdict/balance.ts';
import { accountsOf } from './accounts.ts';

function broker(accepted: number, buffered: number, inFlight = 0, connected = true): BrokerDocument {
  return {
    log: 'a',
    store: { state: 'ok', reason: null, bytes: 0, bytesMax: 1 },
    connections: 0,
    sessions: [],
    drain: { connected, node: 5, epoch: 1, inFlight },
    backlog: { messages: buffered, bytes: 0, oldestReceivedAtMs: null },
    counters: { accepted, buffered, qos0: 0, refusedConnections: 0, refusedPublishes: 0 },
  };
}
function sql(stored: number, duplicate = 0, rejected = 0, log = 'a'): AccountsDocument {
  const terms = { stored, duplicate, rejected };
  return { logs: [{ log, highWaterMark: 1, ...terms }], ...terms };
}

describe('accounts (I6)', () => {
  it('the accounts balance exactly at rest', () => {
    const accounts = accountsOf({ before: broker(10, 0), accounts: sql(7, 2, 1), after: broker(10, 0) });
    assert.equal(isDocument(Accounts, accounts), true);
    assert.deepEqual([accounts.balanced, accounts.inFlight], [true, 0]);
  });

  it('readings at QoS 0 change no term, and status says what became of them', () => {
    const qos0 = { relayed: 2, stored: 3, duplicate: 1, rejected: 0, dropped: 4 };
    const told = { ...broker(10, 0), qos0: { mode: 'relay' as const, waiting: 1, dropped: 4 } };
    const accounts = accountsOf({ before: told, accounts: { ...sql(10), qos0 }, after: told });
    assert.equal(isDocument(Accounts, accounts), true);
    assert.deepEqual([accounts.balanced, accounts.stored], [true, 10]);
    assert.deepEqual(accounts.qos0, { mode: 'relay', waiting: 1, account: qos0 });
    assert.match(renderQos0(accounts).join(), /2 not stored .*QOS0=store.*stored 3, .*4 dropped/);
    const silent = accountsOf({ before: broker(1, 0), accounts: sql(1), after: broker(1, 0) });
    assert.deepEqual([silent.qos0, renderQos0(silent)], [undefined, []]);
  });

  it('a vanished message breaks the accounts', () => {
    assert.equal(
      accountsOf({ before: broker(10, 0), accounts: sql(9), after: broker(10, 0) }).balanced,
      false,
    );
  });

  it('a message that was stored twice breaks the accounts', () => {
    assert.equal(
      accountsOf({ before: broker(10, 0), accounts: sql(11), after: broker(10, 0) }).balanced,
      false,
    );
  });

  it('batches in flight and between the two looks explain a difference', () => {
    const live = accountsOf({ before: broker(100, 40, 30), accounts: sql(75), after: broker(130, 50, 30) });
    assert.deepEqual([live.balanced, live.inFlight], [true, 30]);
    const committed = accountsOf({
      before: broker(100, 40, 30),
      accounts: sql(85),
      after: broker(100, 40, 30),
    });
    assert.equal(committed.balanced, true);
    const beyond = accountsOf({ before: broker(100, 40, 30), accounts: sql(95), after: broker(100, 40, 30) });
    assert.equal(beyond.balanced, false);
  });

  it('without a coordinator, unacknowledged commits are unknown, not wrong', () => {
    const between = accountsOf({
      before: broker(100, 40, 0, false),
      accounts: sql(80),
      after: broker(100, 40, 0, false),
    });
    assert.equal(between.balanced, null);
    // But a message that is missing in SQL is missing, with and without a coordinator.
    const lost = accountsOf({
      before: broker(100, 40, 0, false),
      accounts: sql(50),
      after: broker(100, 40, 0, false),
    });
    assert.equal(lost.balanced, false);
  });

  it("only the gateway's present store counts", () => {
    const accounts = accountsOf({
      before: broker(0, 0),
      accounts: sql(9, 0, 0, 'an earlier store'),
      after: broker(0, 0),
    });
    assert.deepEqual([accounts.stored, accounts.balanced], [0, true]);
  });

  it('a gap that was accepted after a restore is a term of its own', () => {
    const document = sql(7);
    document.logs[0]!.acceptedGap = 3;
    const accounts = accountsOf({ before: broker(10, 0), accounts: document, after: broker(10, 0) });
    assert.equal(isDocument(Accounts, accounts), true);
    assert.deepEqual([accounts.balanced, accounts.acceptedGap], [true, 3]);
    assert.equal(
      'acceptedGap' in accountsOf({ before: broker(1, 0), accounts: sql(1), after: broker(1, 0) }),
      false,
    );
  });

  it('a dead part makes terms of the accounts unknown', () => {
    const dead = accountsOf({ before: undefined, accounts: undefined, after: undefined });
    assert.deepEqual([dead.accepted, dead.stored, dead.balanced], [null, null, null]);
    assert.equal(
      accountsOf({ before: broker(1, 1), accounts: undefined, after: broker(1, 1) }).balanced,
      null,
    );
  });
});

describe('verdict on the accounts', () => {
  const judge = async (samples: Accounts[], timeoutMs = 60_000) => {
    let index = 0;
    const sample = async () => samples[Math.min(index++, samples.length - 1)] as Accounts;
    return judgeBalance({ sample, timeoutMs, pollMs: 1 });
  };
  const rest = accountsOf({ before: broker(10, 0), accounts: sql(10), after: broker(10, 0) });

  it('the verdict on the accounts waits for rest', async () => {
    const moving = accountsOf({ before: broker(10, 4, 4), accounts: sql(6), after: broker(10, 4, 4) });
    assert.deepEqual((await judge([moving, moving, rest, rest])).ok, true);
  });

  it('any difference at rest breaks the accounts', async () => {
    const short = accountsOf({ before: broker(10, 0), accounts: sql(9), after: broker(10, 0) });
    assert.match((await judge([short], 30)).detail, /1 unexplained at rest/);
  });

  it('the verdict names what was lost with a restored database', async () => {
    const document = sql(7);
    document.logs[0]!.acceptedGap = 3;
    const accounts = accountsOf({ before: broker(10, 0), accounts: document, after: broker(10, 0) });
    const verdict = await judge([accounts]);
    assert.equal(verdict.ok, true);
    assert.match(verdict.detail, /3 that this database lacks, as accepted, exactly, at rest/);
  });

  it('continuing traffic is judged by its bound, and the verdict mentions it', async () => {
    const moving = accountsOf({ before: broker(10, 4, 4), accounts: sql(6), after: broker(10, 4, 4) });
    const verdict = await judge([moving], 30);
    assert.equal(verdict.ok, true);
    assert.match(verdict.detail, /traffic continues/);
  });

  it('unknown terms never pass', async () => {
    const dead = accountsOf({ before: undefined, accounts: undefined, after: undefined });
    assert.equal((await judge([dead], 30)).ok, null);
  });
});
