import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  initialSession,
  lostAtMs,
  mayAct,
  nextTickMs,
  step,
  type SessionEffect,
  type SessionEvent,
  type SessionState,
} from './session-state.ts';

const rules = { handshakeTimeoutMs: 500 };
const linked = (nowMs: number, sentAtMs = nowMs, id = 1n): SessionEvent => ({
  type: 'linked',
  nowMs,
  sentAtMs,
  id,
  timeoutMs: 3_000,
});

/** Which effects a sequence of events leads to. */
function tell(...events: SessionEvent[]): { state: SessionState; told: string[] } {
  let state = initialSession;
  const told: string[] = [];
  for (const event of events) {
    const [next, effects] = step(state, event, rules);
    state = next;
    told.push(effects.map(word).join(' '));
  }
  return { state, told };
}

const word = (effect: SessionEffect) => (effect.type === 'notify' ? effect.phase : effect.type);
const connected: SessionEvent[] = [{ type: 'start' }, { type: 'dialled', nowMs: 0 }, linked(0)];

describe('the session', () => {
  it('a broken connection suspends the session until it is linked again', () => {
    const { state, told } = tell(...connected, { type: 'unlinked', nowMs: 100 }, linked(200));
    assert.deepEqual(told, ['connecting open', '', 'connected', 'suspended', 'connected']);
    assert.equal(state.session?.id, 1n);
  });

  it('silence suspends after two thirds of the timeout and loses after all of it', () => {
    const { told } = tell(
      ...connected,
      { type: 'tick', nowMs: 1_999 },
      { type: 'tick', nowMs: 2_000 },
      { type: 'tick', nowMs: 2_999 },
      { type: 'tick', nowMs: 3_000 },
    );
    assert.deepEqual(told.slice(3), ['', 'suspended drop', '', 'lost discard open']);
  });

  it('an answer only proves that the session was alive when its request was sent', () => {
    const late: SessionEvent = { type: 'answered', nowMs: 1_900, sentAtMs: 100 };
    const { state } = tell(...connected, late);
    assert.equal(mayAct(state, 2_099), true);
    assert.equal(mayAct(state, 2_100), false);
    assert.equal(nextTickMs(state), 2_100);
    const older = step(state, { type: 'answered', nowMs: 1_950, sentAtMs: 50 }, rules)[0];
    assert.equal(older.provenAtMs, 100);
  });

  it('a process that slept through the timeout wakes to a lost session', () => {
    for (const first of [
      linked(9_000),
      { type: 'unlinked', nowMs: 9_000 },
      { type: 'answered', nowMs: 9_000, sentAtMs: 0 },
      { type: 'tick', nowMs: 9_000 },
      { type: 'expired' },
    ] satisfies SessionEvent[]) {
      const { told, state } = tell(...connected, first);
      assert.equal(told.at(-1), 'suspended lost discard open', first.type);
      assert.equal(state.session, undefined);
    }
  });

  it("the timeout granted by the server counts from the handshake's request", () => {
    const { state } = tell({ type: 'start' }, { type: 'dialled', nowMs: 0 }, {
      ...linked(400, 300),
      timeoutMs: 900,
    } as SessionEvent);
    assert.equal(mayAct(state, 899), true);
    assert.equal(mayAct(state, 900), false);
    assert.equal(lostAtMs(state), 1_200);
  });

  it('a handshake that never ends is broken off, again and again', () => {
    const { told, state } = tell(
      { type: 'start' },
      { type: 'dialled', nowMs: 0 },
      { type: 'tick', nowMs: 500 },
      { type: 'unlinked', nowMs: 501 },
      { type: 'dialled', nowMs: 600 },
      { type: 'tick', nowMs: 1_100 },
    );
    assert.deepEqual(told, ['connecting open', '', 'drop', '', '', 'drop']);
    assert.equal(state.phase, 'connecting');
  });

  it('refused credentials close the session finally', () => {
    const { told } = tell(...connected, { type: 'refused' }, linked(10), { type: 'start' });
    assert.deepEqual(told.slice(3), ['closed discard', '', '']);
  });

  it('no event allows acting past the deadline or resuming after a loss', () => {
    const anyEvent = fc.record({
      type: fc.constantFrom('dialled', 'linked', 'answered', 'unlinked', 'expired', 'tick'),
      waitMs: fc.integer({ min: 0, max: 1_500 }),
      ageMs: fc.integer({ min: 0, max: 4_000 }),
      another: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), (moves) => {
        let [state] = step(initialSession, { type: 'start' }, rules);
        let nowMs = 10_000;
        let nextId = 1n;
        let before = 'connecting';
        const ended = new Set<bigint>();
        for (const { type, waitMs, ageMs, another } of moves) {
          nowMs += waitMs;
          const known = state.session?.id;
          // A server resumes the session that it is asked for, or gives a new client object a new
          // one.
          const id = known !== undefined && !another ? known : nextId;
          if (type === 'linked' && known !== undefined && another) continue;
          const event = { type, nowMs, sentAtMs: nowMs - ageMs, id, timeoutMs: 3_000 } as SessionEvent;
          const [next, effects] = step(state, event, rules);
          if (known !== undefined && next.session?.id !== known) ended.add(known);
          if (next.session !== undefined) {
            assert.ok(!ended.has(next.session.id), 'a lost session came back');
            if (next.session.id === nextId) nextId += 1n;
          }
          for (const effect of effects) {
            if (effect.type !== 'notify') continue;
            if (effect.phase === 'lost') assert.equal(before, 'suspended');
            before = effect.phase;
          }
          assert.equal(next.session === undefined, !['connected', 'suspended'].includes(next.phase));
          if (mayAct(next, nowMs)) assert.ok(nowMs - next.provenAtMs < 2_000);
          assert.ok(next.phase !== 'connected' || next.linked);
          state = next;
        }
      }),
    );
  });
});
