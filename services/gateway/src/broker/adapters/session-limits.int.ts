import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { BrokerDocument } from '@thermomesh/contracts';
import { until } from '@thermomesh/testing';
import { folderFor, operatorLogin, startGateway, type TestGateway } from '../../testing.ts';
import { connectClient, type TestClient } from './testing/mqtt-client.ts';

const queuedOf = ({ sessions }: BrokerDocument) =>
  sessions.find(({ clientId }) => clientId === 'operator-p')?.queued;

/** Number of messages that a limit kept out of the queue of a session. */
async function droppedFor(gateway: TestGateway, reason: string): Promise<number> {
  const text = await (await gateway.get('/metrics')).text();
  const line = new RegExp(`^thermomesh_session_dropped_messages_total\\{reason="${reason}"\\} (\\d+)$`, 'm');
  return Number(line.exec(text)?.[1] ?? 0);
}

async function forgottenSession(gateway: TestGateway): Promise<void> {
  const client = await gateway.operator('operator-p', { clean: false });
  await client.subscribe('thermostat/#');
  client.end();
  await client.untilClosed();
}

/** A coordinator that acknowledges every reading at once. */
async function coordinator(gateway: TestGateway): Promise<TestClient> {
  const client = await gateway.drain();
  let handled = 0;
  client.socket.on('data', () => {
    for (; handled < client.received.length; handled++) {
      const packet = client.received[handled]!;
      if (packet.cmd === 'publish') client.send({ cmd: 'puback', messageId: packet.messageId! });
    }
  });
  return client;
}

async function publishAll(gateway: TestGateway, device: TestClient, total: number): Promise<void> {
  for (let number = 1; number <= total; number++) {
    await device.publish('thermostat/data', Buffer.alloc(1000, String(number)));
    if (number % 20 === 0) {
      await until('an empty backlog', async () => (await gateway.broker()).backlog.messages === 0);
    }
  }
}

it('a forgotten session stops no device, and its queue ends at its own limit', async (t) => {
  const env = {
    BUFFER_BYTES_MAX: '65536',
    PUBLISH_BYTES_MAX: '2048',
    DRAIN_WINDOW_BYTES: '65536',
    SESSION_MESSAGES_MAX: '150',
  };
  const gateway = await startGateway(t, { env });
  await forgottenSession(gateway);
  await coordinator(gateway);
  const device = await gateway.device('d1');
  // The session holds more than twice the buffer limit.
  await publishAll(gateway, device, 200);
  const { store, counters } = await gateway.broker();
  assert.equal(store.state, 'ok');
  assert.equal(counters.accepted, 200);
  assert.equal(queuedOf(await gateway.broker()), 150);
  assert.equal(await droppedFor(gateway, 'queue_full'), 50);
  const client = await gateway.operator('operator-p');
  await until('an empty store', async () => (await gateway.broker()).store.bytes === 0);
  client.destroy();
});

it('all forgotten sessions together end at the limit of their bytes', async (t) => {
  const env = { SESSIONS_BYTES_MAX: '65536' };
  const gateway = await startGateway(t, { env });
  await forgottenSession(gateway);
  await coordinator(gateway);
  const device = await gateway.device('d1');
  await publishAll(gateway, device, 200);
  const { store, counters } = await gateway.broker();
  assert.equal(counters.accepted, 200);
  assert.ok(store.bytes > 50_000 && store.bytes < 120_000, String(store.bytes));
  assert.ok((await droppedFor(gateway, 'sessions_full')) > 0);
});

it('a forgotten session ends after its expiry with everything it held', async (t) => {
  const gateway = await startGateway(t, { env: { SESSION_EXPIRY_MS: '1000' } });
  await coordinator(gateway);
  const client = await gateway.operator('operator-here', { clean: false });
  await client.subscribe('mesh/#');
  await forgottenSession(gateway);
  const device = await gateway.device('d1');
  await publishAll(gateway, device, 20);
  await until('the end of the session', async () => queuedOf(await gateway.broker()) === undefined);
  await until('an empty store', async () => (await gateway.broker()).store.bytes === 0);
  const { sessions } = await gateway.broker();
  assert.ok(
    sessions.some(({ clientId }) => clientId === 'operator-here'),
    'a connected client keeps its session',
  );
  const again = await connectClient(gateway.mqttPort, { ...operatorLogin('operator-p'), clean: false });
  assert.deepEqual([again.connack.returnCode, again.connack.sessionPresent], [0, false]);
});

it('restarts do not keep a forgotten session from its end', async (t) => {
  const folder = await folderFor(t);
  const options = { folder, env: { SESSION_EXPIRY_MS: '2000' } };
  let gateway = await startGateway(t, options);
  await forgottenSession(gateway);
  let restarts = 0;
  // Each life of the gateway is much shorter than the expiry.
  while (queuedOf(await gateway.broker()) !== undefined) {
    assert.ok(restarts++ < 20, 'every restart began the time again');
    const endAt = performance.now() + 400;
    await until('some time', () => performance.now() > endAt);
    await gateway.stop();
    gateway = await startGateway(t, options);
  }
  assert.ok(restarts > 0);
});
