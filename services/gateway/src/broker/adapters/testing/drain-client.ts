/** What tests of the drain session share: readings to drain, and a coordinator's part of it. */
import assert from 'node:assert/strict';
import { readDrainMessage, type BrokerDocument } from '@thermomesh/contracts';
import { until } from '@thermomesh/testing';
import type { IPublishPacket } from 'mqtt-packet';
import type { TestGateway } from '../../../testing.ts';
import type { TestClient } from './mqtt-client.ts';

/** The drain message that a PUBLISH carries. */
export const read = ({ payload }: IPublishPacket) => readDrainMessage(payload as Buffer);
/** The original bytes of its reading, as text. */
export const text = (message: IPublishPacket) => read(message).payload.toString();

/** Publishes `count` numbered readings, and waits for all PUBACKs. */
export async function fill(gateway: TestGateway, count: number, from = 1, deviceId = 'd1'): Promise<void> {
  const device = await gateway.device(deviceId);
  for (let number = from; number < from + count; number++) {
    const messageId = (number % 65_535) + 1;
    device.sendPublish('thermostat/data', String(number), { messageId });
  }
  await until('the acks', () => device.received.filter(({ cmd }) => cmd === 'puback').length === count, {
    timeoutMs: 60_000,
  });
  device.end();
}

/** Sends the PUBACKs of messages, in their order. */
export function acknowledge(drain: TestClient, messages: readonly IPublishPacket[]): void {
  for (const { messageId } of messages) drain.send({ cmd: 'puback', messageId: messageId! });
}

/** Waits until nothing is buffered; returns what the broker says then. */
export async function untilEmpty(gateway: TestGateway): Promise<BrokerDocument> {
  let document = await gateway.broker();
  await until('an empty buffer', async () => {
    document = await gateway.broker();
    return document.counters.buffered === 0;
  });
  assert.equal(document.counters.buffered, 0);
  return document;
}

/** Asserts that each message names the one before it, so that a coordinator would see a gap. */
export function assertChain(messages: readonly IPublishPacket[]): void {
  const ids = messages.map(read);
  for (const [index, { previousLogId }] of ids.entries()) {
    if (index > 0) assert.equal(previousLogId, ids[index - 1]!.logId);
  }
}

/** What {@link fill} publishes. */
export const numbers = (count: number, from = 1) =>
  Array.from({ length: count }, (_, index) => String(from + index));
