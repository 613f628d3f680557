import assert from 'node:assert/strict';
import { it } from 'node:test';
import { until } from '@thermomesh/testing';
import { startGateway, type TestGateway } from '../../testing.ts';
import type { Qos, TestClient } from './testing/mqtt-client.ts';

async function subscriber(gateway: TestGateway, filters: string[], clean: boolean): Promise<TestClient> {
  const client = await gateway.operator('operator-live', { clean });
  await client.subscribe(filters, 2);
  acknowledgeAll(client);
  return client;
}

/** Publishes `total` messages at QoS 0, 1, 2 in turn in one burst, and waits for all answers. */
async function publishMixed(gateway: TestGateway, total: number, retains = false): Promise<void> {
  const node = await gateway.node('node-1');
  for (let number = 1; number <= total; number++) {
    const qos = (number % 3) as Qos;
    const retain = retains && number % 2 === 0;
    const payload = `${qos} ${number}`;
    node.sendPublish('mesh/x', payload, { qos, messageId: number, retain });
  }
  const answers = (cmd: string) => node.received.filter((packet) => packet.cmd === cmd).length;
  await until('the answers', () => answers('puback') === total / 3 && answers('pubrec') === total / 3);
}

/** Answers everything that the broker sends, as a subscriber at QoS 2 does. */
function acknowledgeAll(client: TestClient): void {
  let handled = 0;
  client.socket.on('data', () => {
    for (; handled < client.received.length; handled++) {
      const packet = client.received[handled]!;
      const messageId = packet.messageId!;
      if (packet.cmd === 'publish' && packet.qos === 1) client.send({ cmd: 'puback', messageId });
      if (packet.cmd === 'publish' && packet.qos === 2) client.send({ cmd: 'pubrec', messageId });
      if (packet.cmd === 'pubrel') client.send({ cmd: 'pubcomp', messageId });
    }
  });
}

/** The texts of the messages, once `total` have come and nothing more does. */
async function takeAll(client: TestClient, total: number): Promise<string[]> {
  await until(`${total} messages`, () => client.publishes().length >= total, {
    timeoutMs: 10_000,
  });
  // The answer to a ping follows everything that was sent before.
  client.send({ cmd: 'pingreq' });
  await client.next('pingresp');
  return client.texts();
}

const numbered = (total: number) =>
  Array.from({ length: total }, (_, index) => `${(index + 1) % 3} ${index + 1}`);
const atQos = (texts: string[], qos: Qos) => texts.filter((text) => text.startsWith(String(qos)));

function assertEachOnceInOrder(got: string[], total: number): void {
  const sent = numbered(total);
  for (const qos of [0, 1, 2] as const) assert.deepEqual(atQos(got, qos), atQos(sent, qos));
}

for (const clean of [true, false]) {
  const session = clean ? 'clean' : 'persistent';
  it(`a mix of QoS from one publisher reaches a ${session} session whole and in order`, async (t) => {
    const gateway = await startGateway(t);
    const client = await subscriber(gateway, ['mesh/#'], clean);
    await publishMixed(gateway, 30);
    assertEachOnceInOrder(await takeAll(client, 30), 30);
    await until('an empty queue', async () => {
      const { sessions } = await gateway.broker();
      return sessions.every(({ queued }) => queued === 0);
    });
  });
}

it('two subscriptions that match one topic deliver each message of a mix once', async (t) => {
  // [MQTT-3.3.5-1]
  const gateway = await startGateway(t);
  const client = await subscriber(gateway, ['mesh/#', 'mesh/x', 'mesh/+'], true);
  await publishMixed(gateway, 300);
  assertEachOnceInOrder(await takeAll(client, 300), 300);
});

it('retained messages in a mix of QoS reach a live subscriber, each once', async (t) => {
  const gateway = await startGateway(t);
  const client = await subscriber(gateway, ['mesh/#'], true);
  await publishMixed(gateway, 60, true);
  assert.deepEqual((await takeAll(client, 60)).sort(), numbered(60).sort());
});

it('a mix of QoS from several publishers reaches a live subscriber, each once', async (t) => {
  const gateway = await startGateway(t);
  const client = await subscriber(gateway, ['thermostat/status/+'], false);
  const devices = await Promise.all(['d1', 'd2', 'd3'].map((id) => gateway.device(id)));
  const sent: string[] = [];
  for (let number = 1; number <= 60; number++) {
    devices.forEach((device, index) => {
      const qos = ((number + index) % 3) as Qos;
      const topic = `thermostat/status/d${index + 1}`;
      const payload = `${qos} d${index + 1} ${number}`;
      device.sendPublish(topic, payload, { qos, messageId: number });
      sent.push(payload);
    });
  }
  assert.deepEqual((await takeAll(client, sent.length)).sort(), sent.sort());
});
