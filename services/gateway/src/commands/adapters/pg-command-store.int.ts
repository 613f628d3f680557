import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, it } from 'node:test';
import fc from 'fast-check';
import { checkoutDatabase, type CheckoutDatabase } from '../../checkout/testing.ts';
import {
  accepted,
  step,
  type DeadlineState,
  type Lifecycle,
  type LifecycleEvent,
} from '../core/lifecycle.ts';
import type { CommandStore } from '../core/ports.ts';
import { newCommand, roomyLimits } from '../testing.ts';
import { createCommandStore } from './pg-command-store.ts';

let database: CheckoutDatabase;
let store: CommandStore;
const marginMs = 600_000;

before(async () => {
  database = await checkoutDatabase();
  store = createCommandStore(database.pool);
});
after(() => database.drop());

/** Stores a command whose deadline is ahead, within the margin, or has passed. */
async function stored(deadline: DeadlineState, deviceId = `room-${randomUUID()}`) {
  const afterMs = { ahead: 3_600_000, near: 300_000, passed: 1 }[deadline];
  const command = newCommand({ deviceId, expiry: { afterMs } });
  assert.equal((await store.accept(command, roomyLimits)).type, 'created');
  if (deadline === 'passed') await database.pool.query('SELECT pg_sleep(0.002)');
  return command;
}

it('of concurrent calls with one key one creates, and all find the same command', async () => {
  const callerKey = randomUUID();
  const deviceId = 'room-1';
  const results = await Promise.all(
    Array.from({ length: 8 }, () => store.accept(newCommand({ deviceId, callerKey }), roomyLimits)),
  );
  const ids = results.map((result) => ('commandId' in result ? result.commandId : result.type));
  assert.equal(new Set(ids).size, 1);
  assert.equal(results.filter(({ type }) => type === 'created').length, 1);
  const elsewhere = await Promise.all([
    store.accept(newCommand({ callerKey }), roomyLimits),
    store.accept(newCommand({ callerKey, caller: 'key:2' }), roomyLimits),
  ]);
  assert.deepEqual(
    elsewhere.map(({ type }) => type),
    ['exists', 'created'],
  );
});

it('concurrent commands to one device never exceed the limit of open ones', async () => {
  const deviceId = 'room-full';
  const limits = { ...roomyLimits, openMax: 3 };
  const results = await Promise.all(
    Array.from({ length: 10 }, () => store.accept(newCommand({ deviceId }), limits)),
  );
  assert.equal(results.filter(({ type }) => type === 'created').length, 3);
  assert.equal(results.filter(({ type }) => type === 'queue_full').length, 7);
});

it('a deadline outside the limits stores nothing', async () => {
  const limits = { ...roomyLimits, expiresMinMs: 1_000, expiresMaxMs: 60_000 };
  for (const [afterMs, type] of [
    [999, 'deadline_too_soon'],
    [60_001, 'deadline_too_late'],
  ] as const)
    assert.equal((await store.accept(newCommand({ expiry: { afterMs } }), limits)).type, type);
  const past = newCommand({ expiry: { deadlineMs: Date.UTC(2001, 0, 1) } });
  assert.equal((await store.accept(past, limits)).type, 'deadline_too_soon');
  assert.equal(await store.find(past.deviceId, past.commandId), undefined);
});

it('the table keeps the states as the model says, whatever happens in which order', async () => {
  type Action = LifecycleEvent extends infer E ? (E extends unknown ? Omit<E, 'deadline'> : never) : never;
  const action: fc.Arbitrary<Action> = fc.constantFrom<Action[]>(
    { type: 'deliver' },
    { type: 'acknowledge', outcome: 'done' },
    { type: 'acknowledge', outcome: 'failed' },
    { type: 'cancel' },
    { type: 'sweep' },
  );
  const deadlines = fc.constantFrom<DeadlineState>('ahead', 'near', 'passed');
  await fc.assert(
    fc.asyncProperty(deadlines, fc.array(action, { maxLength: 8 }), async (deadline, actions) => {
      const { deviceId, commandId } = await stored(deadline);
      let model: Lifecycle = accepted;
      for (const one of actions) {
        const [next, effect] = step(model, { ...one, deadline });
        model = next;
        switch (one.type) {
          case 'deliver':
            assert.equal((await store.claim([deviceId], marginMs)).length, effect === 'send' ? 1 : 0);
            break;
          case 'acknowledge': {
            const answer = { deviceId, commandId, outcome: one.outcome };
            const status = await store.acknowledge({ ...answer, detail: null });
            assert.equal(status, effect === 'record' ? model.status : undefined);
            break;
          }
          case 'cancel':
            assert.equal((await store.cancel(deviceId, commandId)) !== undefined, effect === 'cancelled');
            break;
          case 'sweep':
            await store.expire(1_000_000);
        }
      }
      // A reader sees a deadline that has passed, also before a sweep.
      const [seen] = step(model, { type: 'sweep', deadline });
      const row = await store.find(deviceId, commandId);
      assert.deepEqual(
        { status: row?.status, deliveries: row?.deliveries, outcome: row?.outcome },
        { ...seen },
      );
    }),
    { numRuns: 60 },
  );
});

it('commands come in the order of their acceptance, with the time that is left', async () => {
  const deviceId = `room-${randomUUID()}`;
  const commands = [];
  for (let n = 0; n < 5; n++) commands.push(await stored('ahead', deviceId));
  const due = await store.claim([deviceId, 'room-other'], 0);
  assert.deepEqual(
    due.map(({ commandId }) => commandId),
    commands.map(({ commandId }) => commandId),
  );
  for (const { remainingMs, deliveries } of due) {
    assert.ok(remainingMs > 0 && remainingMs <= 3_600_000);
    assert.equal(deliveries, 1);
  }
});

it('another device cannot acknowledge a command', async () => {
  const { deviceId, commandId } = await stored('ahead');
  await store.claim([deviceId], 0);
  const answer = { commandId, outcome: 'done', detail: null } as const;
  assert.equal(await store.acknowledge({ ...answer, deviceId: 'room-thief' }), undefined);
  assert.equal((await store.find(deviceId, commandId))?.status, 'sent');
});

it('an old final command is removed, an open one never', async () => {
  const [open, closed] = [await stored('ahead'), await stored('ahead')];
  await store.cancel(closed.deviceId, closed.commandId);
  await database.pool.query('SELECT pg_sleep(0.002)');
  assert.ok((await store.forget(1, 1_000_000)) >= 1);
  assert.equal(await store.find(closed.deviceId, closed.commandId), undefined);
  assert.equal((await store.find(open.deviceId, open.commandId))?.status, 'accepted');
  await assert.rejects(
    database.pool.query('DELETE FROM device_commands WHERE command_id = $1', [open.commandId]),
    { code: 'sql.TM010' },
  );
});
