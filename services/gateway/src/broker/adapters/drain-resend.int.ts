import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  drainDatabaseTopic,
  drainLogTopic,
  drainResendTopic,
  type DrainLogState,
} from '@thermomesh/contracts';
import { until } from '@thermomesh/testing';
import type { IPublishPacket } from 'mqtt-packet';
import { startGateway, folderFor, type TestGateway } from '../../testing.ts';
import { acknowledge, assertChain, fill, numbers, read, text, untilEmpty } from './testing/drain-client.ts';
import type { TestClient } from './testing/mqtt-client.ts';

/** Asks where the log stands, as a coordinator does when it has connected. */
async function stateOf(drain: TestClient): Promise<DrainLogState> {
  drain.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: drainLogTopic, qos: 0 }] });
  assert.deepEqual((await drain.next('suback')).granted, [0]);
  const told = () => drain.publishes().find(({ topic }) => topic === drainLogTopic);
  await until('the state of the log', () => told() !== undefined);
  return JSON.parse(told()!.payload.toString()) as DrainLogState;
}

function askAgain(drain: TestClient, log: string, afterLogId: unknown): void {
  const payload = JSON.stringify({ log, afterLogId });
  const fixed = { cmd: 'publish', qos: 1, messageId: 1, dup: false, retain: false } as const;
  drain.send({ ...fixed, topic: drainResendTopic, payload });
}

/** Publishes `count` readings, and acknowledges all of them on the drain session. */
async function fillAndDrain(gateway: TestGateway, count: number): Promise<IPublishPacket[]> {
  await fill(gateway, count);
  const drain = await gateway.drain(1);
  await until('the messages', () => drain.publishes().length === count);
  acknowledge(drain, drain.publishes());
  await untilEmpty(gateway);
  drain.end();
  await drain.untilClosed();
  return drain.publishes();
}

it('a coordinator whose database is behind gets acknowledged messages again', async (t) => {
  const folder = await folderFor(t);
  const first = await startGateway(t, { folder });
  const sent = await fillAndDrain(first, 20);
  const place = read(sent[11]!).logId;
  const before = await first.broker();
  assert.deepEqual([before.store.bytes, before.kept?.afterLogId], [0, 0]);
  assert.ok(before.kept!.bytes > 0);
  // What is kept survives a restart.
  await first.stop();
  const gateway = await startGateway(t, { folder });
  const behind = await gateway.drain(2);
  const state = await stateOf(behind);
  const drainedLogId = read(sent[19]!).logId;
  const log = before.log;
  assert.deepEqual(state, {
    log,
    accepted: 20,
    buffered: 0,
    drainedLogId,
    keptAfterLogId: 0,
    database: null,
  });
  askAgain(behind, log, place);
  await behind.next('puback');
  await behind.untilClosed();
  const { counters } = await gateway.broker();
  assert.deepEqual([counters.accepted, counters.buffered], [20, 8]);
  const again = await gateway.drain(2);
  await until('what was lost', () => again.publishes().length === 8);
  assert.deepEqual(again.publishes().map(text), numbers(8, 13));
  assert.deepEqual(again.publishes().map(read), sent.slice(12).map(read));
  assert.ok(again.publishes().every(({ dup }) => dup));
  assertChain(again.publishes());
  acknowledge(again, again.publishes());
  await untilEmpty(gateway);
});

it('a gateway that keeps nothing tells that, and sends nothing again', async (t) => {
  const gateway = await startGateway(t, { env: { DRAINED_KEPT_BYTES_MAX: '0' } });
  const sent = await fillAndDrain(gateway, 10);
  const drain = await gateway.drain(2);
  const { log, drainedLogId, keptAfterLogId } = await stateOf(drain);
  assert.deepEqual([drainedLogId, keptAfterLogId], [read(sent[9]!).logId, drainedLogId]);
  askAgain(drain, log, 0);
  await drain.untilClosed();
  assert.equal((await gateway.broker()).counters.buffered, 0);
});

it('row 1: the store remembers the database that it was drained into', async (t) => {
  const folder = await folderFor(t);
  const first = await startGateway(t, { folder });
  const { log } = await first.broker();
  const database = '11111111-1111-4111-8111-111111111111';
  const drain = await first.drain(1);
  const payload = JSON.stringify({ log, database });
  const fixed = { cmd: 'publish', qos: 1, messageId: 1, dup: false, retain: false } as const;
  drain.send({ ...fixed, topic: drainDatabaseTopic, payload });
  await drain.next('puback');
  assert.equal((await stateOf(drain)).database, database);
  await first.stop();
  const second = await startGateway(t, { folder });
  const again = await second.drain(2);
  assert.equal((await stateOf(again)).database, database);
  again.send({ ...fixed, topic: drainDatabaseTopic, payload: JSON.stringify({ log: database, database }) });
  await again.untilClosed();
});

it('acknowledged messages are removed when they have been kept for their time', async (t) => {
  const gateway = await startGateway(t, { env: { DRAINED_KEPT_MS: '300' } });
  await fillAndDrain(gateway, 10);
  await until('the removal', async () => (await gateway.broker()).kept?.bytes === 0);
});

it('a request for another log or without a log id only closes the connection', async (t) => {
  const gateway = await startGateway(t);
  await fillAndDrain(gateway, 3);
  const { log } = await gateway.broker();
  const other = '00000000-0000-4000-8000-000000000000';
  for (const [wanted, place] of [
    [other, 0],
    [log, -1],
    [log, '0'],
    [log, undefined],
  ] as const) {
    const drain = await gateway.drain(1);
    askAgain(drain, wanted, place);
    await drain.untilClosed();
    assert.equal((await gateway.broker()).counters.buffered, 0);
  }
});
