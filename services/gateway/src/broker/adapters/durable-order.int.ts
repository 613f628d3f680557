import assert from 'node:assert/strict';
import { it } from 'node:test';
import { until } from '@thermomesh/testing';
import { deviceLogin, folderFor } from '../../testing.ts';
import { connectClient, type TestClient } from './testing/mqtt-client.ts';
import { acknowledgementsIn, violationsOfOrder, type Expected } from './testing/syscalls/durable-order.ts';
import { startTraced } from './testing/syscalls/traced-gateway.ts';

const skip = process.platform === 'linux' ? false : 'strace exists on Linux only';
const devicesCount = 24;
const perDevice = 20;

const tokenOf = (device: number, messageId: number) => `token-${device}-${messageId}-of-the-burst`;

/** Connects one after the other, so that each knows the number of its connection. */
async function connectDevices(port: number): Promise<TestClient[]> {
  const devices: TestClient[] = [];
  for (let at = 0; at < devicesCount; at++) {
    devices.push((await connectClient(port, deviceLogin(`d${at}`))).client);
  }
  return devices;
}

/** Each device sends its burst in two halves, so that commits and publishes overlap. */
async function publishBurst(devices: TestClient[]): Promise<void> {
  for (const upTo of [perDevice / 2, perDevice]) {
    devices.forEach((device, at) => {
      for (let messageId = upTo - perDevice / 2 + 1; messageId <= upTo; messageId++) {
        const payload = tokenOf(at, messageId).padEnd(200 + 40 * messageId);
        const packet = {
          cmd: 'publish',
          topic: 'thermostat/data',
          qos: 1,
          dup: false,
          retain: false,
        } as const;
        device.send({ ...packet, payload, messageId });
      }
    });
    const [first] = devices;
    await until('some acks', () => first!.received.some(({ cmd }) => cmd === 'puback'));
  }
  const acks = (client: TestClient) => client.received.filter(({ cmd }) => cmd === 'puback').length;
  await until('all acks', () => devices.every((device) => acks(device) === perDevice));
}

it('no PUBACK of a burst leaves before the syncs of its commit have ended (I1)', { skip }, async (t) => {
  const folder = await folderFor(t);
  const gateway = await startTraced(t, folder, process.env['PATH']);
  const devices = await connectDevices(gateway.mqttPort);
  await publishBurst(devices);
  const activity = await gateway.stop();

  const expected: Expected[] = acknowledgementsIn(activity).map((ack) => ({
    ...ack,
    token: Buffer.from(`${tokenOf(ack.connection, ack.messageId)} `),
  }));
  // What cannot be seen proves nothing: every PUBACK, and many commits, are in the trace.
  assert.equal(expected.length, devicesCount * perDevice);
  assert.equal(new Set(expected.map(({ connection }) => connection)).size, devicesCount);
  const firstAck = expected[0]!.begin;
  const lastAck = expected.at(-1)!.begin;
  const during = activity.syncs.filter(({ end }) => end > activity.accepted.at(-1)! && end < lastAck);
  assert.ok(during.length >= 3, `${during.length} syncs`);
  assert.ok(
    during.some(({ begin }) => begin > firstAck),
    'commits and PUBACKs alternate',
  );
  assert.deepEqual(violationsOfOrder(activity, expected).slice(0, 5), []);
});
