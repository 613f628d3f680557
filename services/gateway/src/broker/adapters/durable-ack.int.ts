import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readDrainMessage } from '@thermomesh/contracts';
import { MeshError } from '@thermomesh/runtime';
import { until } from '@thermomesh/testing';
import { createMemoryStore } from '../core/memory-store.ts';
import { startGateway } from '../../testing.ts';
import { type TestClient } from './testing/mqtt-client.ts';

/** Waits several commits and turns of the event loop, in which a premature PUBACK would leave. */
async function severalTurns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
}

function send(client: TestClient, messageId: number, payload: string | Buffer, qos: 0 | 1 | 2 = 1): void {
  client.sendPublish('thermostat/data', payload, { qos, messageId });
}

const acks = (client: TestClient) =>
  client.received.flatMap((packet) => (packet.cmd === 'puback' ? [packet.messageId] : []));

it('before the sync no PUBACK leaves and nothing is delivered (I1)', async (t) => {
  const store = createMemoryStore();
  const gateway = await startGateway(t, { parts: { store } });
  const device = await gateway.device('d1');
  const drain = await gateway.drain(1);
  store.holdSync();
  send(device, 7, 'held');
  await until('the write', () => [...store.keys('drain')].length === 1);
  await severalTurns();
  assert.deepEqual(acks(device), []);
  assert.deepEqual(drain.publishes(), []);
  assert.equal((await gateway.broker()).counters.accepted, 0);
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

it('no PUBREC leaves before the sync, so QoS 2 is as durable as QoS 1', async (t) => {
  const store = createMemoryStore();
  const gateway = await startGateway(t, { parts: { store } });
  const device = await gateway.device('d1');
  store.holdSync();
  send(device, 7, 'held', 2);
  await until('the write', () => [...store.keys('drain')].length === 1);
  await severalTurns();
  assert.deepEqual(
    device.received.map(({ cmd }) => cmd),
    ['connack'],
  );
  store.releaseSync();
  await device.next('pubrec');
  // A repetition before the PUBREL is recognised and not stored twice [MQTT-4.3.3-2].
  send(device, 7, 'held', 2);
  await device.next('pubrec');
  device.send({ cmd: 'pubrel', messageId: 7 });
  await device.next('pubcomp');
  assert.equal((await gateway.broker()).counters.accepted, 1);
});

it('a full disk stops only the PUBACKs, which leave in order when space is freed', async (t) => {
  const store = createMemoryStore();
  const logLines: string[] = [];
  const gateway = await startGateway(t, { parts: { store }, logLines });
  const device = await gateway.device('d1');
  const drain = await gateway.drain(1);
  await device.publish('thermostat/data', 'before');
  const before = await drain.next('publish');
  // The disk takes no new messages, but it takes removals, which only free pages.
  store.failCommits(
    new MeshError('store.full', 'no space left on device', { retriable: true }),
    (operations) => operations.some(({ table, value }) => table === 'drain' && value !== undefined),
  );
  for (let id = 10; id < 15; id++) send(device, id, `full ${id}`);
  const state = () => logLines.filter((line) => line.includes('"event":"store.'));
  await until('the state', () => state().length > 0);
  const full = await gateway.broker();
  assert.equal(full.store.state, 'full');
  assert.equal((await fetch(`http://127.0.0.1:${gateway.httpPort}/readyz`)).status, 503);
  // Acknowledged messages are removed although the disk is full.
  drain.send({ cmd: 'puback', messageId: before.messageId! });
  await until('the removal', () => [...store.keys('drain')].length === 0);
  const other = await gateway.device('d2');
  other.send({ cmd: 'pingreq' });
  await other.next('pingresp');
  assert.deepEqual([acks(device), device.closed], [[1], false]);
  store.failCommits(undefined);
  await until('the acks', () => acks(device).length === 6);
  assert.deepEqual(acks(device), [1, 10, 11, 12, 13, 14]);
  await until('the delivery', () => drain.publishes().length === 6);
  assert.deepEqual(
    state().map((line) => (JSON.parse(line) as { event: string }).event),
    ['store.full', 'store.recovered'],
  );
  assert.equal((await fetch(`http://127.0.0.1:${gateway.httpPort}/readyz`)).status, 200);
  const after = await gateway.broker();
  assert.deepEqual([after.counters.accepted, after.counters.buffered, after.store.state], [6, 5, 'ok']);
});

it('the buffer limit stops the PUBACKs until the drain session frees space', async (t) => {
  const logLines: string[] = [];
  const gateway = await startGateway(t, {
    logLines,
    env: { BUFFER_BYTES_MAX: '65536', PUBLISH_BYTES_MAX: '8192', DRAIN_WINDOW_BYTES: '16384' },
  });
  const device = await gateway.device('d1');
  const other = await gateway.device('d2');
  for (let id = 1; id <= 100; id++) send(device, id, Buffer.alloc(1000, id));
  await until('the limit', () => logLines.some((line) => line.includes('store.full')));
  const full = await gateway.broker();
  assert.equal(full.store.state, 'full');
  assert.ok(full.store.bytes <= full.store.bytesMax && acks(device).length < 100);
  send(other, 1, 'me too');
  // The mesh's own clients are not held back: the coordinator must be able to announce itself.
  const node = await gateway.node('node-1-announcer');
  await node.publish('mesh/analytics/coordinator', '{}', { retain: true });
  assert.deepEqual(acks(other), []);
  const drain = await gateway.drain(1);
  let taken = 0;
  await until('everything acked and drained', () => {
    const messages = drain.publishes();
    for (; taken < messages.length; taken++)
      drain.send({ cmd: 'puback', messageId: messages[taken]!.messageId! });
    return acks(device).length === 100 && acks(other).length === 1 && taken === 101;
  });
  assert.deepEqual(
    acks(device),
    Array.from({ length: 100 }, (_, index) => index + 1),
  );
  const fills = drain.publishes().map(({ payload }) => readDrainMessage(payload as Buffer).payload[0]);
  assert.deepEqual(fills.filter((fill) => fill !== 'm'.charCodeAt(0)).length, 100);
  await until('the recovery', () => logLines.some((line) => line.includes('store.recovered')));
  let document = await gateway.broker();
  await until('an empty buffer', () => {
    void gateway.broker().then((next) => (document = next));
    return document.counters.buffered === 0;
  });
  assert.deepEqual([document.store.state, document.store.bytes, document.counters.accepted], ['ok', 0, 101]);
});

it('a held publish of a device that has disconnected is dropped', async (t) => {
  const store = createMemoryStore();
  const gateway = await startGateway(t, { parts: { store } });
  const first = await gateway.device('d1');
  store.failCommits(new MeshError('store.full', 'no space', { retriable: true }));
  // The first publish is in the transaction that is being tried; the second one waits.
  send(first, 1, 'in the transaction');
  await severalTurns();
  send(first, 2, 'waiting');
  await severalTurns();
  first.destroy();
  await severalTurns();
  store.failCommits(undefined);
  const second = await gateway.device('d1');
  await second.publish('thermostat/data', 'again');
  assert.equal((await gateway.broker()).counters.accepted, 2);
});

it('with a slow store no acknowledged message is lost, and QoS 0 is never drained', async (t) => {
  const gateway = await startGateway(t, { env: { COMMIT_LINGER_MS: '5' } });
  const drain = await gateway.drain(1);
  const watcher = await gateway.node('node-1-watcher', { clean: false });
  await watcher.subscribe('thermostat/#');
  const loud = await gateway.device('d0');
  const device = await gateway.device('d1');
  for (let id = 1; id <= 50; id++) {
    send(device, id, `one ${id}`);
    send(device, id, 'zero', 0);
    send(loud, id, 'zero', 0);
  }
  await until('the acks', () => acks(device).length === 50);
  await until('the drain', () => drain.publishes().length === 50);
  const wanted = Array.from({ length: 50 }, (_, index) => `one ${index + 1}`);
  const drained = drain
    .publishes()
    .map(({ payload }) => readDrainMessage(payload as Buffer).payload.toString());
  assert.deepEqual(drained, wanted);
  const seen = () => watcher.publishes().map(({ payload }) => payload.toString());
  await until('the watcher', () => seen().length === 150);
  assert.deepEqual(
    seen().filter((text) => text !== 'zero'),
    wanted,
  );
  const { counters } = await gateway.broker();
  assert.deepEqual([counters.accepted, counters.qos0], [50, 100]);
});
