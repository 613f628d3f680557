import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  bestEffortFilter,
  deviceOfBestEffortTopic,
  DevicesReport,
  drainDevicesTopic,
  isDocument,
} from '@thermomesh/contracts';
import { until } from '@thermomesh/testing';
import { deviceLogin, startGateway, type TestGateway } from '../../testing.ts';
import { acknowledge, read, text } from './testing/drain-client.ts';
import { connectClient, type TestClient } from './testing/mqtt-client.ts';

const store = { QOS0: 'store' };
const qos0 = (device: TestClient, payload: string) =>
  device.sendPublish('thermostat/data', payload, { qos: 0 });
const best = (drain: TestClient) =>
  drain.publishes().filter(({ topic }) => deviceOfBestEffortTopic(topic) !== undefined);

/** All reports that a coordinator got, summed by device. */
function reported(drain: TestClient): Map<string, DevicesReport['devices'][number]> {
  const devices = new Map<string, DevicesReport['devices'][number]>();
  for (const { topic, payload } of drain.publishes()) {
    if (topic !== drainDevicesTopic) continue;
    const report = JSON.parse(payload.toString()) as unknown;
    assert.ok(isDocument(DevicesReport, report));
    for (const device of report.devices) {
      const known = devices.get(device.deviceId);
      const notStored = device.notStored + (known?.notStored ?? 0);
      const refusals = [...(known?.refusals ?? []), ...device.refusals];
      devices.set(device.deviceId, { ...device, notStored, refusals });
    }
  }
  return devices;
}

async function coordinator(gateway: TestGateway, epoch = 1): Promise<TestClient> {
  const drain = await gateway.drain(epoch);
  assert.deepEqual(await drain.subscribe([drainDevicesTopic, bestEffortFilter], 0), [0, 0]);
  return drain;
}

describe('readings at QoS 0', () => {
  it('by default they are reported and not stored', async (t) => {
    const gateway = await startGateway(t);
    const device = await gateway.device('d1');
    for (let n = 0; n < 3; n++) qos0(device, `${n}`);
    const drain = await coordinator(gateway);
    await until('the report', () => reported(drain).get('d1')?.notStored === 3);
    const { counters, qos0: told } = await gateway.broker();
    assert.deepEqual([counters.qos0, counters.accepted, counters.buffered], [3, 0, 0]);
    assert.deepEqual(told, { mode: 'relay', waiting: 0, dropped: 0 });
    assert.deepEqual(best(drain), []);
  });

  it('with QOS0=store they reach the coordinator, outside log and accounts', async (t) => {
    const gateway = await startGateway(t, { env: store });
    const device = await gateway.device('d1');
    const subscriber = await gateway.operator();
    await subscriber.subscribe('thermostat/data/d1');
    qos0(device, 'early');
    await subscriber.next('publish');
    assert.equal((await gateway.broker()).qos0?.waiting, 1, 'no coordinator is there');
    const drain = await coordinator(gateway);
    qos0(device, 'late');
    await until('both', () => best(drain).length === 2);
    assert.deepEqual(best(drain).map(text), ['early', 'late']);
    const [first] = best(drain);
    assert.deepEqual([deviceOfBestEffortTopic(first!.topic), first!.qos], ['d1', 0]);
    assert.deepEqual([read(first!).logId, read(first!).receivedAtMs > 0], [0, true]);
    const { counters } = await gateway.broker();
    assert.deepEqual([counters.accepted, counters.buffered], [0, 0]);
  });

  it('a full queue drops them, counts them, and takes every QoS 1 reading', async (t) => {
    const gateway = await startGateway(t, { env: { ...store, QOS0_QUEUE_MESSAGES_MAX: '2' } });
    const device = await gateway.device('d1');
    for (let n = 0; n < 5; n++) qos0(device, `${n}`);
    for (let n = 0; n < 5; n++) await device.publish('thermostat/data', `acked ${n}`);
    const { counters, qos0: told } = await gateway.broker();
    assert.deepEqual([counters.accepted, counters.buffered], [5, 5]);
    assert.deepEqual(told, { mode: 'store', waiting: 2, dropped: 3 });
    const drain = await coordinator(gateway);
    await until('the report', () => reported(drain).get('d1')?.notStored === 3);
  });

  it('they wait until every accepted message is sent to the coordinator (I1)', async (t) => {
    const gateway = await startGateway(t, { env: { ...store, DRAIN_WINDOW_MESSAGES: '2' } });
    const device = await gateway.device('d1');
    for (let n = 0; n < 3; n++) await device.publish('thermostat/data', `acked ${n}`);
    qos0(device, 'best effort');
    const drain = await coordinator(gateway);
    await until('the window', () => drain.publishes().length === 2);
    await device.publish('thermostat/status/d1', 'a round trip');
    assert.deepEqual(best(drain), []);
    acknowledge(drain, drain.publishes());
    await until('the rest', () => drain.publishes().length === 4);
    assert.deepEqual(drain.texts().length, 4);
    assert.deepEqual(drain.publishes().slice(2).map(text), ['acked 2', 'best effort']);
  });

  it('a coordinator of a former version, which does not ask, gets none of it', async (t) => {
    const gateway = await startGateway(t, { env: store });
    const drain = await gateway.drain(1);
    const device = await gateway.device('d1');
    qos0(device, 'x');
    await device.publish('thermostat/data', 'acked');
    await drain.next('publish');
    assert.deepEqual(drain.publishes().map(text), ['acked']);
  });
});

describe('refusals that the owner of a device sees', () => {
  it('a topic, a filter, a client id and a broken packet are named with the rule', async (t) => {
    const gateway = await startGateway(t);
    const device = await gateway.device('d1');
    assert.deepEqual(await device.subscribe('thermostat/data/#'), [0x80]);
    device.sendPublish('thermostat/data/d2', '21');
    await device.untilClosed();
    const again = await gateway.device('d1');
    again.sendPublish('thermostat/data/d3', '21', { qos: 0 });
    await again.untilClosed();
    const broken = await gateway.device('d1');
    broken.socket.write(Buffer.from([0x82, 2, 0, 1]));
    await broken.untilClosed();
    const { connack } = await connectClient(gateway.mqttPort, {
      ...deviceLogin('d1'),
      clientId: 'my-laptop',
    });
    assert.equal(connack.returnCode, 5);

    const drain = await coordinator(gateway);
    await until('the report', () => reported(drain).has('d1'));
    const refusals = reported(drain).get('d1')!.refusals;
    const topics = 'thermostat/data, thermostat/data/d1, thermostat/status/d1';
    assert.deepEqual(
      refusals.map(({ kind, reason, topic, count }) => [kind, reason, topic, count]),
      [
        ['subscribe', 'a device may subscribe to thermostat/command/d1', 'thermostat/data/#', 1],
        ['publish', `a device may publish on ${topics}`, 'thermostat/data/d3', 2],
        ['protocol', 'no topic filter [MQTT-3.8.3-3] [MQTT-3.10.3-2]', null, 1],
        ['connect', 'the client id must be d1, or begin with d1/', null, 1],
      ],
    );
  });

  it('a login without the token of the device is not named at the device', async (t) => {
    const gateway = await startGateway(t);
    const password = Buffer.from('wrong');
    const { connack } = await connectClient(gateway.mqttPort, { ...deviceLogin('d1'), password });
    assert.equal(connack.returnCode, 5);
    const drain = await coordinator(gateway);
    const device = await gateway.device('d2');
    qos0(device, 'x');
    await until('the report', () => reported(drain).has('d2'));
    assert.equal(reported(drain).has('d1'), false);
  });
});
