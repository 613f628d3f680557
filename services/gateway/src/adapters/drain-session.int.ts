import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readDrainMessage, uuidText, type BrokerDocument } from '@thermomesh/contracts';
import { startGateway } from './testing/gateway.ts';
import { until } from './testing/mqtt-client.ts';

it('one reading is acked, delivered to the drain session, acked there and removed', async (t) => {
  const gateway = await startGateway(t);
  const device = await gateway.device('d1');
  await device.publish('thermostat/data', 'one');
  const drain = await gateway.drain(1);
  const message = await drain.next('publish');
  assert.equal(message.topic, 'thermostat/data/d1');
  const { log, logId, payload } = readDrainMessage(message.payload as Buffer);
  assert.equal(payload.toString(), 'one');
  assert.equal(message.messageId, (logId % 65_535) + 1);
  const before = (await (await gateway.get('/v1/broker')).json()) as BrokerDocument;
  assert.equal(before.log, uuidText(log));
  assert.deepEqual([before.counters.accepted, before.counters.buffered], [1, 1]);
  drain.send({ cmd: 'puback', messageId: message.messageId! });
  let document = before;
  await until(() => {
    void gateway.get('/v1/broker').then(async (answer) => (document = (await answer.json()) as BrokerDocument));
    return document.counters.buffered === 0;
  }, 'an empty buffer');
  assert.deepEqual([document.counters.accepted, document.store.bytes], [1, 0]);
});
