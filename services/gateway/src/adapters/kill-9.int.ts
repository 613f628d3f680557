import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { it, type TestContext } from 'node:test';
import { readDrainMessage, type BrokerDocument } from '@thermomesh/contracts';
import { deriveToken, subjects } from '@thermomesh/runtime';
import {
  deviceLogin,
  drainLogin,
  operatorLogin,
  startGateway,
  temporaryFolder,
  testEnvironment,
  testSecret,
} from './testing/gateway.ts';
import { connectClient, until } from './testing/mqtt-client.ts';

interface Process {
  child: ChildProcess;
  mqttPort: number;
  httpPort: number;
  kill(): Promise<void>;
}

/** The gateway as a process of its own, to be killed. */
async function startProcess(t: TestContext, folder: string, env: NodeJS.ProcessEnv = {}): Promise<Process> {
  const main = path.join(import.meta.dirname, '..', 'main.ts');
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

async function broker(httpPort: number): Promise<BrokerDocument> {
  const authorization = `Bearer ${deriveToken(testSecret, subjects.operator)}`;
  const answer = await fetch(`http://127.0.0.1:${httpPort}/v1/broker`, { headers: { authorization } });
  return (await answer.json()) as BrokerDocument;
}

const login = async (port: number, options: Parameters<typeof connectClient>[1]) =>
  (await connectClient(port, options)).client;

it('killed amid publishes: everything acked is there, in order, and the accounts agree (I1, I6)', async (t) => {
  const folder = await temporaryFolder(t);
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
      device.send({
        cmd: 'publish',
        topic: 'thermostat/data',
        payload,
        qos: 1,
        messageId: id,
        dup: false,
        retain: false,
      });
    }
    const acks = () => device.received.filter(({ cmd }) => cmd === 'puback');
    await until(() => acks().length > 1000, 'some acks');
    await gateway.kill();
    for (const packet of acks()) acked.add(sent.get(packet.messageId!)!);
  }
  const gateway = await startProcess(t, folder);
  const { counters } = await broker(gateway.httpPort);
  const drain = await login(gateway.mqttPort, { ...drainLogin(1, 1) });
  let taken = 0;
  await until(() => {
    const messages = drain.publishes();
    for (; taken < messages.length; taken++)
      drain.send({ cmd: 'puback', messageId: messages[taken]!.messageId! });
    return taken === counters.buffered;
  }, 'the backlog');
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

it('killed: sessions, queues, subscriptions and retained messages come back', async (t) => {
  const folder = await temporaryFolder(t);
  const first = await startProcess(t, folder);
  const reader = await login(first.mqttPort, { ...operatorLogin('operator-p'), clean: false });
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'thermostat/#', qos: 1 }] });
  await reader.next('suback');
  const device = await login(first.mqttPort, deviceLogin('d1'));
  await device.publish('thermostat/status/d1', 'retained', { retain: true });
  const status = await reader.next('publish');
  reader.send({ cmd: 'puback', messageId: status.messageId! });
  // Its removal is durable before anything that is acknowledged later.
  const queued = async () =>
    (await broker(first.httpPort)).sessions.find(({ clientId }) => clientId === 'operator-p')?.queued;
  const deadline = Date.now() + 10_000;
  while ((await queued()) !== 0 && Date.now() < deadline);
  reader.destroy();
  for (let number = 1; number <= 50; number++) await device.publish('thermostat/data', String(number));
  await first.kill();

  const second = await startProcess(t, folder);
  const { client, connack } = await connectClient(second.mqttPort, {
    ...operatorLogin('operator-p'),
    clean: false,
  });
  assert.equal(connack.sessionPresent, true);
  await until(() => client.publishes().length === 50, 'the queue');
  assert.deepEqual(
    client.publishes().map(({ payload }) => payload.toString()),
    Array.from({ length: 50 }, (_, index) => String(index + 1)),
  );
  const again = await login(second.mqttPort, deviceLogin('d1'));
  await again.publish('thermostat/data', 'live');
  await until(() => client.publishes().length === 51, 'a live message');
  const fresh = await login(second.mqttPort, operatorLogin('operator-2'));
  fresh.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'thermostat/status/d1', qos: 1 }] });
  assert.equal((await fresh.next('publish')).payload.toString(), 'retained');
});

for (const point of ['before-commit', 'after-commit', 'before-delivery'] as const) {
  it(`killed at gateway.${point}: an acked reading is there, one that is sent again is there once more`, async (t) => {
    const folder = await temporaryFolder(t);
    const witness = path.join(folder, 'witness');
    const first = await startProcess(t, folder, {
      CRASH_POINT: `gateway.${point}`,
      CRASH_WITNESS_FILE: witness,
    });
    const device = await login(first.mqttPort, deviceLogin('d1'));
    device.send({
      cmd: 'publish',
      topic: 'thermostat/data',
      payload: 'x',
      qos: 1,
      messageId: 1,
      dup: false,
      retain: false,
    });
    await device.untilClosed();
    assert.match(readFileSync(witness, 'utf8'), new RegExp(`gateway.${point}`));
    const acked = device.received.some(({ cmd }) => cmd === 'puback');
    const second = await startProcess(t, folder);
    const { counters } = await broker(second.httpPort);
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

it('killed at gateway.before-removal: the messages come again with the same numbers', async (t) => {
  const folder = await temporaryFolder(t);
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

it('SIGTERM: what was sent is acked or not there, and the store is closed in order', async (t) => {
  const folder = await temporaryFolder(t);
  const gateway = await startProcess(t, folder);
  const device = await login(gateway.mqttPort, deviceLogin('d1'));
  await device.publish('thermostat/data', 'x');
  const gone = once(gateway.child, 'exit');
  gateway.child.kill('SIGTERM');
  assert.deepEqual(await gone, [0, null]);
  assert.equal((await broker((await startProcess(t, folder)).httpPort)).counters.buffered, 1);
});

it('the will of a device that was connected to a process that was killed is published, and nothing breaks', async (t) => {
  const folder = await temporaryFolder(t);
  const first = await startProcess(t, folder);
  const will = { topic: 'thermostat/status/d1', payload: Buffer.from('gone'), qos: 1 as const, retain: true };
  await login(first.mqttPort, { ...deviceLogin('d1'), will });
  await first.kill();
  const second = await startGateway(t, { folder, parts: { heartbeatIntervalMs: 50 } });
  const reader = await login(second.mqttPort, operatorLogin('operator-1'));
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'thermostat/status/#', qos: 1 }] });
  assert.equal((await reader.next('publish')).payload.toString(), 'gone');
});
