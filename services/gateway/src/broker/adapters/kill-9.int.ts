import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { it, type TestContext } from 'node:test';
import { readDrainMessage } from '@thermomesh/contracts';
import { until } from '@thermomesh/testing';
import {
  brokerDocument,
  deviceLogin,
  drainLogin,
  operatorLogin,
  startGateway,
  folderFor,
  testEnvironment,
} from '../../testing.ts';
import { connectClient } from './testing/mqtt-client.ts';

interface Process {
  child: ChildProcess;
  mqttPort: number;
  httpPort: number;
  kill(): Promise<void>;
}

/** Starts the gateway as a child process that the test can kill. */
async function startProcess(t: TestContext, folder: string, env: NodeJS.ProcessEnv = {}): Promise<Process> {
  const main = path.join(import.meta.dirname, '../..', 'main.ts');
  const child = fork(main, { env: testEnvironment(folder, env), silent: true });
  const gone = once(child, 'exit');
  t.after(() => child.kill('SIGKILL'));
  const [message] = (await once(child, 'message')) as [{ ready: true; mqttPort: number; httpPort: number }];
  assert.equal(message.ready, true);
  return {
    child,
    mqttPort: message.mqttPort,
    httpPort: message.httpPort,
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

const login = async (port: number, options: Parameters<typeof connectClient>[1]) =>
  (await connectClient(port, options)).client;

it('a kill during publishes loses no acknowledged message and no count (I1, I6)', async (t) => {
  const folder = await folderFor(t);
  const acked = new Set<number>();
  const lastLogIds: number[] = [];
  let number = 0;
  for (let round = 0; round < 3; round++) {
    const gateway = await startProcess(t, folder);
    const device = await login(gateway.mqttPort, deviceLogin('d1'));
    const sent = new Map<number, number>();
    for (let id = 1; id <= 5000; id++) {
      sent.set(id, ++number);
      const payload = String(number);
      device.sendPublish('thermostat/data', payload, { messageId: id });
    }
    const acks = () => device.received.filter(({ cmd }) => cmd === 'puback');
    await until('some acks', () => acks().length > 1000);
    await gateway.kill();
    for (const packet of acks()) acked.add(sent.get(packet.messageId!)!);
  }
  const gateway = await startProcess(t, folder);
  const { counters } = await brokerDocument(gateway.httpPort);
  const drain = await login(gateway.mqttPort, { ...drainLogin(1, 1) });
  let taken = 0;
  await until('the backlog', () => {
    const messages = drain.publishes();
    for (; taken < messages.length; taken++)
      drain.send({ cmd: 'puback', messageId: messages[taken]!.messageId! });
    return taken === counters.buffered;
  });
  const messages = drain.publishes().map(({ payload }) => readDrainMessage(payload as Buffer));
  const numbers = messages.map(({ payload }) => Number(payload.toString()));
  assert.equal(counters.accepted, counters.buffered);
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].sort((a, b) => a - b),
  );
  assert.deepEqual(
    [...acked].filter((wanted) => !numbers.includes(wanted)),
    [],
  );
  for (const { logId } of messages) {
    assert.ok(logId > (lastLogIds.at(-1) ?? 0));
    lastLogIds.push(logId);
  }
});

it('sessions, queues, subscriptions and retained messages survive a kill', async (t) => {
  const folder = await folderFor(t);
  const first = await startProcess(t, folder);
  const reader = await login(first.mqttPort, { ...operatorLogin('operator-p'), clean: false });
  await reader.subscribe('thermostat/#');
  const device = await login(first.mqttPort, deviceLogin('d1'));
  await device.publish('thermostat/status/d1', 'retained', { retain: true });
  const status = await reader.next('publish');
  reader.send({ cmd: 'puback', messageId: status.messageId! });
  // The removal of this message is durable before later messages are acknowledged.
  const queued = async () =>
    (await brokerDocument(first.httpPort)).sessions.find(({ clientId }) => clientId === 'operator-p')?.queued;
  await until('an empty queue', async () => (await queued()) === 0);
  reader.destroy();
  for (let number = 1; number <= 50; number++) await device.publish('thermostat/data', String(number));
  await first.kill();

  const second = await startProcess(t, folder);
  const { client, connack } = await connectClient(second.mqttPort, {
    ...operatorLogin('operator-p'),
    clean: false,
  });
  assert.equal(connack.sessionPresent, true);
  await until('the queue', () => client.publishes().length === 50);
  assert.deepEqual(
    client.publishes().map(({ payload }) => payload.toString()),
    Array.from({ length: 50 }, (_, index) => String(index + 1)),
  );
  const again = await login(second.mqttPort, deviceLogin('d1'));
  await again.publish('thermostat/data', 'live');
  await until('a live message', () => client.publishes().length === 51);
  const fresh = await login(second.mqttPort, operatorLogin('operator-2'));
  fresh.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'thermostat/status/d1', qos: 1 }] });
  assert.equal((await fresh.next('publish')).payload.toString(), 'retained');
});

for (const point of ['before-commit', 'after-commit', 'before-delivery'] as const) {
  it(`a kill at gateway.${point} loses no acknowledged reading`, async (t) => {
    const folder = await folderFor(t);
    const witness = path.join(folder, 'witness');
    const first = await startProcess(t, folder, {
      CRASH_POINT: `gateway.${point}`,
      CRASH_WITNESS_FILE: witness,
    });
    const device = await login(first.mqttPort, deviceLogin('d1'));
    device.sendPublish('thermostat/data', 'x', { messageId: 1 });
    await device.untilClosed();
    assert.match(readFileSync(witness, 'utf8'), new RegExp(`gateway.${point}`));
    const acked = device.received.some(({ cmd }) => cmd === 'puback');
    const second = await startProcess(t, folder);
    const { counters } = await brokerDocument(second.httpPort);
    assert.deepEqual(
      [acked, counters.accepted, counters.buffered],
      {
        'before-commit': [false, 0, 0],
        'after-commit': [false, 1, 1],
        'before-delivery': [true, 1, 1],
      }[point],
    );
  });
}

it('after a kill at gateway.before-removal messages come again with the same log ids', async (t) => {
  const folder = await folderFor(t);
  const first = await startProcess(t, folder, { CRASH_POINT: 'gateway.before-removal' });
  const device = await login(first.mqttPort, deviceLogin('d1'));
  await device.publish('thermostat/data', 'x');
  const drain = await login(first.mqttPort, drainLogin(1, 1));
  const message = await drain.next('publish');
  drain.send({ cmd: 'puback', messageId: message.messageId! });
  await drain.untilClosed();
  const second = await startProcess(t, folder);
  const again = await login(second.mqttPort, drainLogin(1, 1));
  const after = await again.next('publish');
  assert.equal(after.dup, true);
  assert.equal(
    readDrainMessage(after.payload as Buffer).logId,
    readDrainMessage(message.payload as Buffer).logId,
  );
});

it('SIGTERM ends the gateway with exit code 0, and the store keeps its messages', async (t) => {
  const folder = await folderFor(t);
  const gateway = await startProcess(t, folder);
  const device = await login(gateway.mqttPort, deviceLogin('d1'));
  await device.publish('thermostat/data', 'x');
  const gone = once(gateway.child, 'exit');
  gateway.child.kill('SIGTERM');
  assert.deepEqual(await gone, [0, null]);
  assert.equal((await brokerDocument((await startProcess(t, folder)).httpPort)).counters.buffered, 1);
});

it('the will of a device is published after its gateway was killed and restarted', async (t) => {
  const folder = await folderFor(t);
  const first = await startProcess(t, folder);
  const will = { topic: 'thermostat/status/d1', payload: Buffer.from('gone'), qos: 1 as const, retain: true };
  await login(first.mqttPort, { ...deviceLogin('d1'), will });
  await first.kill();
  const second = await startGateway(t, { folder, parts: { heartbeatIntervalMs: 50 } });
  const reader = await login(second.mqttPort, operatorLogin('operator-1'));
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'thermostat/status/#', qos: 1 }] });
  assert.equal((await reader.next('publish')).payload.toString(), 'gone');
});
