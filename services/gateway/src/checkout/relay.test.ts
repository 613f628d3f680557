import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createLog, type CrashPoint } from '@thermomesh/runtime';
import type { Unavailable } from './core/ports.ts';
import { createRelay, type Relay } from './relay.ts';

/** A relay with an outbox and a queue in memory. */
function world(t: TestContext, rowsMax = 2) {
  const outbox = new Map<string, { due: boolean; handOvers: number }>();
  const queued: string[][] = [];
  const crashed: CrashPoint[] = [];
  const events: string[] = [];
  let looked = () => undefined as void;
  const state = {
    outbox,
    queued,
    crashed,
    events,
    unavailable: undefined as Unavailable | undefined,
    queueFails: false,
    again: 0,
    lastError: undefined as unknown,
    relay: undefined as unknown as Relay,
    /** Wakes the relay and waits for its look into the outbox. */
    look: async () => {
      const next = new Promise<void>((resolve) => (looked = resolve));
      state.relay.wake();
      await next;
    },
  };
  state.relay = createRelay({
    store: {
      claimDue: async (max) => {
        const due = [...outbox].filter(([, row]) => row.due).slice(0, max);
        for (const [, row] of due) Object.assign(row, { due: false, handOvers: row.handOvers + 1 });
        return due.map(([checkoutId, { handOvers }]) => ({ checkoutId, handOvers }));
      },
      release: async (ids) => ids.forEach((id) => (outbox.get(id)!.due = true)),
    },
    queue: {
      add: async (ids) => {
        if (state.queueFails) throw new Error('Redis is away');
        queued.push([...ids]);
      },
    },
    queueUnavailable: () => state.unavailable,
    crash: (point) => void crashed.push(point),
    log: createLog('test', 'info', {
      write: (line) => void events.push((JSON.parse(line) as { event: string }).event),
    }),
    onHandOver: (_count, again) => (state.again += again),
    onLook: (error) => {
      state.lastError = error;
      setImmediate(() => looked());
    },
    limits: { intervalMs: 60_000, rowsMax, requeueMs: 1_000 },
  });
  const accept = (...ids: string[]) => ids.forEach((id) => outbox.set(id, { due: true, handOvers: 0 }));
  state.relay.start();
  t.after(() => state.relay.stop());
  return Object.assign(state, { accept });
}

describe('the relay', () => {
  it('the relay hands over due rows in batches, and again what the queue has forgotten', async (t) => {
    const mesh = world(t);
    mesh.accept('a', 'b', 'c');
    await mesh.look();
    await mesh.look();
    assert.deepEqual(mesh.queued, [['a', 'b'], ['c']]);
    assert.equal(mesh.outbox.size, 3, 'a hand-over removes no row from the outbox');
    mesh.outbox.get('b')!.due = true;
    await mesh.look();
    assert.deepEqual(mesh.queued.at(-1), ['b']);
    assert.equal(mesh.again, 1);
    assert.ok(mesh.crashed.every((point) => point === 'checkout.before-enqueue'));
  });

  it('the relay claims no row while the queue is unavailable', async (t) => {
    const mesh = world(t);
    mesh.unavailable = { code: 'checkout.redis_unsafe', detail: 'x' };
    mesh.accept('a');
    await mesh.look();
    assert.deepEqual([mesh.queued, mesh.outbox.get('a')!.handOvers], [[], 0]);
    mesh.unavailable = undefined;
    await mesh.look();
    assert.deepEqual(mesh.queued, [['a']]);
  });

  it('the relay releases rows that it cannot hand over, logs it once, and continues', async (t) => {
    const mesh = world(t);
    mesh.queueFails = true;
    mesh.accept('a');
    await mesh.look();
    await mesh.look();
    assert.match(String(mesh.lastError), /away/);
    assert.deepEqual(mesh.events, ['checkout.relay_failed']);
    mesh.queueFails = false;
    await mesh.look();
    assert.deepEqual(mesh.queued, [['a']]);
    assert.equal(mesh.lastError, undefined);
  });
});
