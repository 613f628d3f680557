import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { BrokerDocument } from '@thermomesh/contracts';
import { readDrainMessage } from '@thermomesh/contracts';
import { MeshError } from '@thermomesh/runtime';
import { createMemoryStore } from '../core/memory-store.ts';
import { startGateway, type TestGateway } from './testing/gateway.ts';
import { until, type TestClient } from './testing/mqtt-client.ts';

/** Long enough for an acknowledgement that should not leave to leave: several commits and turns of the event loop. */
async function severalTurns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
}

const broker = async (gateway: TestGateway) =>
  (await (await gateway.get('/v1/broker')).json()) as BrokerDocument;

function send(client: TestClient, messageId: number, payload: string | Buffer, qos: 0 | 1 | 2 = 1): void {
  client.send({
    cmd: 'publish',
    topic: 'thermostat/data',
    payload,
    qos,
    dup: false,
    retain: false,
    messageId,
  });
}

const acks = (client: TestClient) =>
  client.received.flatMap((packet) => (packet.cmd === 'puback' ? [packet.messageId] : []));

it('no PUBACK leaves before the sync, and nothing is delivered (I1)', async (t) => {
  const store = createMemoryStore();
  const gateway = await startGateway(t, { parts: { store } });
  const device = await gateway.device('d1');
  const drain = await gateway.drain(1);
  store.holdSync();
  send(device, 7, 'held');
  await until(() => [...store.keys('drain')].length === 1, 'the write');
  await severalTurns();
  assert.deepEqual(acks(device), []);
  assert.deepEqual(drain.publishes(), []);
  assert.equal((await broker(gateway)).counters.accepted, 0);
  store.releaseSync();
  await device.next('puback');
  assert.deepEqual(acks(device), [7]);
  await drain.next('publish');
});

it('no PUBACK leaves before the write (I1)', async (t) => {
  const store = createMemoryStore();
  const gateway = await startGateway(t, { parts: { store } });
  const device = await gateway.device('d1');
  store.failCommits(new MeshError('store.failed', 'broken', { retriable: true }));
  send(device, 7, 'not written');
  await severalTurns();
  assert.deepEqual([acks(device), [...store.keys('drain')]], [[], []]);
  store.failCommits(undefined);
  await device.next('puback');
  assert.equal([...store.keys('drain')].length, 1);
});

it('no PUBREC leaves before the sync: QoS 2 is as durable as QoS 1', async (t) => {
  const store = createMemoryStore();
  const gateway = await startGateway(t, { parts: { store } });
  const device = await gateway.device('d1');
  store.holdSync();
  send(device, 7, 'held', 2);
  await until(() => [...store.keys('drain')].length === 1, 'the write');
  await severalTurns();
  assert.deepEqual(
    device.received.map(({ cmd }) => cmd),
    ['connack'],
  );
  store.releaseSync();
  await device.next('pubrec');
  // Sent again before its PUBREL: known, not stored twice [MQTT-4.3.3-2].
  send(device, 7, 'held', 2);
  await device.next('pubrec');
  device.send({ cmd: 'pubrel', messageId: 7 });
  await device.next('pubcomp');
  assert.equal((await broker(gateway)).counters.accepted, 1);
});

it('a full disk stops the acks and nothing else; all is acked in order once space is back', async (t) => {
  const store = createMemoryStore();
  const logLines: string[] = [];
  const gateway = await startGateway(t, { parts: { store }, logLines });
  const device = await gateway.device('d1');
  const drain = await gateway.drain(1);
  await device.publish('thermostat/data', 'before');
  const before = await drain.next('publish');
  // The disk takes no new messages; removals only free pages.
  store.failCommits(
    new MeshError('store.full', 'no space left on device', { retriable: true }),
    (operations) => operations.some(({ table, value }) => table === 'drain' && value !== undefined),
  );
  for (let id = 10; id < 15; id++) send(device, id, `full ${id}`);
  const state = () => logLines.filter((line) => line.includes('"event":"store.'));
  await until(() => state().length > 0, 'the state');
  const full = await broker(gateway);
  assert.equal(full.store.state, 'full');
  assert.equal((await fetch(`http://127.0.0.1:${gateway.httpPort}/readyz`)).status, 503);
  // The drain goes on: what it acknowledges is removed although the disk is full.
  drain.send({ cmd: 'puback', messageId: before.messageId! });
  await until(() => [...store.keys('drain')].length === 0, 'the removal');
  const other = await gateway.device('d2');
  other.send({ cmd: 'pingreq' });
  await other.next('pingresp');
  assert.deepEqual([acks(device), device.closed], [[1], false]);
  store.failCommits(undefined);
  await until(() => acks(device).length === 6, 'the acks');
  assert.deepEqual(acks(device), [1, 10, 11, 12, 13, 14]);
  await until(() => drain.publishes().length === 6, 'the delivery');
  assert.deepEqual(
    state().map((line) => (JSON.parse(line) as { event: string }).event),
    ['store.full', 'store.recovered'],
  );
  assert.equal((await fetch(`http://127.0.0.1:${gateway.httpPort}/readyz`)).status, 200);
  const after = await broker(gateway);
  assert.deepEqual([after.counters.accepted, after.counters.buffered, after.store.state], [6, 5, 'ok']);
});

it('the buffer limit stops the acks until the drain session frees space', async (t) => {
  const logLines: string[] = [];
  const gateway = await startGateway(t, {
    logLines,
    env: { BUFFER_BYTES_MAX: '65536', PUBLISH_BYTES_MAX: '8192', DRAIN_WINDOW_BYTES: '16384' },
  });
  const device = await gateway.device('d1');
  const other = await gateway.device('d2');
  for (let id = 1; id <= 100; id++) send(device, id, Buffer.alloc(1000, id));
  await until(() => logLines.some((line) => line.includes('store.full')), 'the limit');
  const full = await broker(gateway);
  assert.equal(full.store.state, 'full');
  assert.ok(full.store.bytes <= full.store.bytesMax && acks(device).length < 100);
  send(other, 1, 'me too');
  // The mesh's own clients are not held back: the coordinator must be able to say who it is.
  const node = await gateway.node('node-1-announcer');
  await node.publish('mesh/analytics/coordinator', '{}', { retain: true });
  assert.deepEqual(acks(other), []);
  const drain = await gateway.drain(1);
  let taken = 0;
  await until(() => {
    const messages = drain.publishes();
    for (; taken < messages.length; taken++)
      drain.send({ cmd: 'puback', messageId: messages[taken]!.messageId! });
    return acks(device).length === 100 && acks(other).length === 1 && taken === 101;
  }, 'everything acked and drained');
  assert.deepEqual(
    acks(device),
    Array.from({ length: 100 }, (_, index) => index + 1),
  );
  const fills = drain.publishes().map(({ payload }) => readDrainMessage(payload as Buffer).payload[0]);
  assert.deepEqual(fills.filter((fill) => fill !== 'm'.charCodeAt(0)).length, 100);
  await until(() => logLines.some((line) => line.includes('store.recovered')), 'the recovery');
  let document = await broker(gateway);
  await until(() => {
    void broker(gateway).then((next) => (document = next));
    return document.counters.buffered === 0;
  }, 'an empty buffer');
  assert.deepEqual([document.store.state, document.store.bytes, document.counters.accepted], ['ok', 0, 101]);
});

it('a held publish of a device that has gone is not taken over', async (t) => {
  const store = createMemoryStore();
  const gateway = await startGateway(t, { parts: { store } });
  const first = await gateway.device('d1');
  store.failCommits(new MeshError('store.full', 'no space', { retriable: true }));
  // The first one is in the transaction that is being tried; the second waits behind it.
  send(first, 1, 'in the transaction');
  await severalTurns();
  send(first, 2, 'waiting');
  await severalTurns();
  first.destroy();
  await severalTurns();
  store.failCommits(undefined);
  const second = await gateway.device('d1');
  await second.publish('thermostat/data', 'again');
  assert.equal((await broker(gateway)).counters.accepted, 2);
});

it('QoS 0 beside QoS 1 with a slow store: nothing acked is lost, QoS 0 never enters the drain', async (t) => {
  const gateway = await startGateway(t, { env: { COMMIT_LINGER_MS: '5' } });
  const drain = await gateway.drain(1);
  const watcher = await gateway.node('node-1-watcher', { clean: false });
  watcher.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'thermostat/#', qos: 1 }] });
  await watcher.next('suback');
  const loud = await gateway.device('d0');
  const device = await gateway.device('d1');
  for (let id = 1; id <= 50; id++) {
    send(device, id, `one ${id}`);
    send(device, id, 'zero', 0);
    send(loud, id, 'zero', 0);
  }
  await until(() => acks(device).length === 50, 'the acks');
  await until(() => drain.publishes().length === 50, 'the drain');
  const wanted = Array.from({ length: 50 }, (_, index) => `one ${index + 1}`);
  const drained = drain
    .publishes()
    .map(({ payload }) => readDrainMessage(payload as Buffer).payload.toString());
  assert.deepEqual(drained, wanted);
  const seen = () => watcher.publishes().map(({ payload }) => payload.toString());
  await until(() => seen().length === 150, 'the watcher');
  assert.deepEqual(
    seen().filter((text) => text !== 'zero'),
    wanted,
  );
  const { counters } = await broker(gateway);
  assert.deepEqual([counters.accepted, counters.qos0], [50, 100]);
});
