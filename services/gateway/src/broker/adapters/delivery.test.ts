import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { AedesPublishPacket, Client } from 'aedes';
import { replaceDelivery } from './delivery.ts';

it('a retained message never gets the packet id of a message that is in flight', async () => {
  const written: Buffer[] = [];
  const client = {
    id: 'd1',
    clean: false,
    closed: false,
    subscriptions: { '#': { qos: 1 } },
    deliver0: () => undefined,
    _nextId: 65_534,
    conn: {
      write: (bytes: Buffer) => written.push(Buffer.from(bytes)) > 0,
      cork: () => undefined,
      uncork: () => undefined,
    },
  };
  const inFlight = new Set([65_534, 65_535, 1]);
  replaceDelivery(client as unknown as Client, {
    persistence: { outgoingUpdate: async () => undefined, isInFlight: (_client, id) => inFlight.has(id) },
    mayForward: () => true,
  });
  const packet = { cmd: 'publish', topic: 'a', payload: Buffer.from('x'), qos: 1, retain: true, dup: false };
  const { deliverQoS } = client as unknown as {
    deliverQoS: (packet: AedesPublishPacket, done: () => void) => void;
  };
  await new Promise<void>((resolve) => deliverQoS(packet as AedesPublishPacket, resolve));
  const bytes = Buffer.concat(written);
  assert.equal(bytes.readUInt16BE(bytes.length - 3), 2);
});
