import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  commandTopic,
  statusTopic,
  type CommandAccepted,
  type CommandMessage,
  type CommandPage,
  type CommandView,
} from '@thermomesh/contracts';
import { createApiKey, deriveToken, subjects } from '@thermomesh/runtime';
import { openLink, passing } from '@thermomesh/links';
import { temporaryFolder, until } from '@thermomesh/testing';
import { connectClient, type TestClient } from '../../broker/adapters/testing/mqtt-client.ts';
import { checkoutDatabase, type CheckoutDatabase } from '../../checkout/testing.ts';
import { deviceLogin, startGateway, testEnvironment, testSecret, type TestGateway } from '../../testing.ts';

const settings = { COMMAND_RETRY_MIN_MS: '100', COMMAND_RETRY_MAX_MS: '200', COMMAND_INTERVAL_MS: '100' };
const operator = deriveToken(testSecret, subjects.operator);
let database: CheckoutDatabase;

before(async () => {
  database = await checkoutDatabase();
});
after(() => database.drop());

const start = (t: TestContext, more: NodeJS.ProcessEnv = {}) =>
  startGateway(t, { env: { DATABASE_URL: database.url, ...settings, ...more } });

interface Call {
  method?: string;
  body?: unknown;
  key?: string;
  token?: string;
  headers?: Record<string, string>;
}

/** A problem document or a view, as far as the tests read it. */
interface Answer {
  code?: string;
  param?: string;
  status?: unknown;
}

/** Asks a route of the commands of `device`. */
async function ask(gateway: { httpPort: number }, device: string, rest = '', call: Call = {}) {
  const response = await fetch(`http://127.0.0.1:${gateway.httpPort}/v1/devices/${device}/commands${rest}`, {
    method: call.method ?? 'GET',
    headers: {
      authorization: `Bearer ${call.token ?? operator}`,
      ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(call.key === undefined ? {} : { 'idempotency-key': call.key }),
      ...call.headers,
    },
    ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: (isJson ? JSON.parse(text) : {}) as Answer,
  };
}

const send = (gateway: { httpPort: number }, device: string, body: object, key: string = randomUUID()) =>
  ask(gateway, device, '', { method: 'POST', body, key });

async function sent(gateway: { httpPort: number }, device: string, body: object): Promise<CommandAccepted> {
  const answer = await send(gateway, device, body);
  assert.equal(answer.status, 202, answer.text);
  return answer.body as unknown as CommandAccepted;
}

async function view(gateway: { httpPort: number }, { deviceId, commandId }: CommandAccepted) {
  return (await ask(gateway, deviceId, `/${commandId}`)).body as unknown as CommandView;
}

const untilStatus = (gateway: { httpPort: number }, command: CommandAccepted, status: string) =>
  until(`the command is ${status}`, async () => (await view(gateway, command)).status === status, {
    pollMs: 20,
  });

/** A device that listens and confirms each PUBLISH with PUBACK. */
async function listening(gateway: TestGateway, deviceId: string, more: Record<string, unknown> = {}) {
  const device = await gateway.device(deviceId, more);
  confirm(device);
  await device.subscribe(commandTopic(deviceId));
  return device;
}

function confirm(device: TestClient): void {
  device.socket.on('data', () => {
    for (const packet of device.publishes())
      if (packet.messageId !== undefined && !confirmed.has(packet)) {
        confirmed.add(packet);
        device.send({ cmd: 'puback', messageId: packet.messageId });
      }
  });
}
const confirmed = new WeakSet<object>();

const messages = (device: TestClient) => device.texts().map((text) => JSON.parse(text) as CommandMessage);

function acknowledge(device: TestClient, deviceId: string, commandId: string, status = 'done') {
  return device.publish(statusTopic(deviceId), JSON.stringify({ commandId, status, detail: 'as asked' }));
}

it('a command reaches a device that listens, and its answer ends it', async (t) => {
  const gateway = await start(t);
  const device = await listening(gateway, 'room-1');
  const command = await sent(gateway, 'room-1', { kind: 'setpoint', setpointCelsius: 21.5 });
  await until('the command', () => messages(device).length > 0);
  const [message] = messages(device);
  assert.equal(message?.commandId, command.commandId);
  assert.deepEqual([message?.kind, message?.setpointCelsius], ['setpoint', 21.5]);
  assert.ok(message !== undefined && message.expiresInMs <= 3_600_000);
  await acknowledge(device, 'room-1', command.commandId);
  await untilStatus(gateway, command, 'done');
  const { acknowledgement, deliveries } = await view(gateway, command);
  assert.deepEqual([acknowledgement?.status, acknowledgement?.detail], ['done', 'as asked']);
  assert.ok(deliveries >= 1);
});

it('a command waits for its device, also in another gateway, and is repeated', async (t) => {
  const [gateway, other] = [await start(t), await start(t)];
  const command = await sent(other, 'room-2', { kind: 'reboot' });
  assert.equal((await view(gateway, command)).status, 'accepted');
  // A persistent session that exists before the command does not keep it either.
  const device = await listening(gateway, 'room-2', { clean: false });
  await until('three deliveries', () => messages(device).length >= 3);
  const late = await sent(other, 'room-2', { kind: 'mode', mode: 'off' });
  await until('the command of the other gateway', () =>
    messages(device).some(({ commandId }) => commandId === late.commandId),
  );
  await acknowledge(device, 'room-2', command.commandId, 'failed');
  await untilStatus(gateway, command, 'failed');
  device.destroy();
  const session = await listening(gateway, 'room-2', { clean: false });
  await until('the second command', () => messages(session).length > 0);
  assert.ok(messages(session).every(({ commandId }) => commandId === late.commandId));
});

it('a command that expires while its device is away is never delivered', async (t) => {
  const gateway = await start(t);
  const before = await listening(gateway, 'room-3', { clean: false });
  before.destroy();
  await before.untilClosed();
  const command = await sent(gateway, 'room-3', { kind: 'reboot', expiresInSeconds: 1 });
  await untilStatus(gateway, command, 'expired');
  const device = await listening(gateway, 'room-3', { clean: false });
  const next = await sent(gateway, 'room-3', { kind: 'mode', mode: 'auto' });
  await until('the later command', () => messages(device).length > 0);
  assert.ok(messages(device).every(({ commandId }) => commandId === next.commandId));
  assert.equal((await view(gateway, command)).deliveries, 0);
});

it('a connection that has not confirmed a command is reset before the deadline', async (t) => {
  const gateway = await start(t);
  const frozen = await gateway.device('room-4');
  await frozen.subscribe(commandTopic('room-4'));
  const command = await sent(gateway, 'room-4', { kind: 'reboot', expiresInSeconds: 1 });
  const reset = once(frozen.socket, 'error');
  await frozen.next('publish');
  assert.equal(((await reset)[0] as NodeJS.ErrnoException).code, 'ECONNRESET');
  await untilStatus(gateway, command, 'expired');
});

it('an answer after the deadline is kept with the expired command', async (t) => {
  const gateway = await start(t);
  const device = await listening(gateway, 'room-5');
  const command = await sent(gateway, 'room-5', { kind: 'reboot', expiresInSeconds: 1 });
  await until('the command', () => messages(device).length > 0);
  await untilStatus(gateway, command, 'expired');
  await acknowledge(device, 'room-5', command.commandId);
  await until('the answer', async () => (await view(gateway, command)).acknowledgement?.status === 'done');
  assert.equal((await view(gateway, command)).status, 'expired');
});

it('the same key is the same command, and other parameters are refused', async (t) => {
  const gateway = await start(t);
  const key = randomUUID();
  const [first, again] = [
    await send(gateway, 'room-6', { kind: 'reboot' }, key),
    await send(gateway, 'room-6', { kind: 'reboot' }, key),
  ];
  assert.deepEqual([first.status, again.status, again.text], [202, 202, first.text]);
  assert.equal(again.headers.get('idempotency-replayed'), 'true');
  for (const [device, body] of [
    ['room-6', { kind: 'mode', mode: 'off' }],
    ['room-7', { kind: 'reboot' }],
  ] as const) {
    const other = await send(gateway, device, body, key);
    assert.deepEqual([other.status, other.body.code], [422, 'command.other_parameters']);
  }
  assert.equal(((await ask(gateway, 'room-6')).body as unknown as CommandPage).items.length, 1);
});

it('bad requests are refused with the parameter that is wrong', async (t) => {
  const gateway = await start(t, { COMMAND_OPEN_MAX: '1' });
  const missing = await ask(gateway, 'room-8', '', { method: 'POST', body: { kind: 'reboot' } });
  assert.deepEqual([missing.status, missing.body.code], [400, 'command.missing_key']);
  for (const [body, code, param] of [
    [{ kind: 'setpoint' }, 'command.bad_parameters', 'setpointCelsius'],
    [{ kind: 'reboot', mode: 'off' }, 'command.bad_parameters', 'mode'],
    [{ kind: 'setpoint', setpointCelsius: 90 }, 'http.invalid_parameter', 'setpointCelsius'],
    [{ kind: 'reboot', deadline: 'soon' }, 'command.bad_deadline', 'deadline'],
    [{ kind: 'reboot', deadline: '2001-01-01T00:00:00Z' }, 'command.bad_deadline', 'deadline'],
    [{ kind: 'reboot', expiresInSeconds: 30_000_000 }, 'command.bad_deadline', 'deadline'],
    [{ kind: 'explode' }, 'http.invalid_parameter', 'kind'],
  ] as const) {
    const answer = await send(gateway, 'room-8', body);
    assert.deepEqual([answer.status, answer.body.code, answer.body.param], [400, code, param], answer.text);
  }
  await sent(gateway, 'room-8', { kind: 'reboot' });
  const full = await send(gateway, 'room-8', { kind: 'reboot' });
  assert.deepEqual([full.status, full.body.code], [429, 'command.queue_full']);
  assert.ok(Number(full.headers.get('retry-after')) >= 1);
});

it('a key needs the scope command, and the requests of a key are limited', async (t) => {
  await using temporary = await temporaryFolder('commands');
  const keysFile = path.join(temporary.folder, 'keys.ndjson');
  const gateway = await start(t, { API_KEYS_FILE: keysFile, COMMAND_REQUESTS_PER_MINUTE_MAX: '3' });
  const [reader, sender] = [
    await createApiKey(keysFile, ['read']),
    await createApiKey(keysFile, ['command']),
  ];
  assert.equal((await ask(gateway, 'room-9', '', { token: reader.key })).status, 403);
  const statuses = [];
  for (let n = 0; n < 4; n++) statuses.push((await ask(gateway, 'room-9', '', { token: sender.key })).status);
  assert.deepEqual(statuses, [200, 200, 200, 429]);
});

it('a cancelled command is not delivered, and a final one stays', async (t) => {
  const gateway = await start(t);
  const command = await sent(gateway, 'room-10', { kind: 'reboot' });
  const cancel = () => ask(gateway, 'room-10', `/${command.commandId}`, { method: 'DELETE' });
  assert.deepEqual([(await cancel()).body.status, (await cancel()).status], ['cancelled', 200]);
  const device = await listening(gateway, 'room-10');
  const next = await sent(gateway, 'room-10', { kind: 'reboot' });
  await until('the next command', () => messages(device).length > 0);
  assert.ok(messages(device).every(({ commandId }) => commandId === next.commandId));
  await acknowledge(device, 'room-10', next.commandId);
  await untilStatus(gateway, next, 'done');
  const late = await ask(gateway, 'room-10', `/${next.commandId}`, { method: 'DELETE' });
  assert.deepEqual([late.status, late.body.code], [409, 'command.final']);
  const done = (await ask(gateway, 'room-10', '?status=done')).body as unknown as CommandPage;
  assert.deepEqual(
    done.items.map(({ commandId }) => commandId),
    [next.commandId],
  );
});

it('the event stream shows each status and ends with the last one', async (t) => {
  const gateway = await start(t);
  const command = await sent(gateway, 'room-11', { kind: 'reboot' });
  const stream = ask(gateway, 'room-11', `/${command.commandId}/events`);
  const device = await listening(gateway, 'room-11');
  await untilStatus(gateway, command, 'sent');
  await acknowledge(device, 'room-11', command.commandId);
  const { text } = await stream;
  const statuses = [...text.matchAll(/^id: (\w+)$/gm)].map(([, status]) => status);
  assert.equal(statuses[0], 'accepted');
  assert.equal(statuses.at(-1), 'done');
  const headers = { 'last-event-id': 'done' };
  assert.equal((await ask(gateway, 'room-11', `/${command.commandId}/events`, { headers })).status, 204);
});

it('PostgreSQL down refuses commands only, and open ones continue afterwards', async (t) => {
  const { hostname, port } = new URL(database.url);
  const target = { host: hostname, port: Number(port) };
  const link = await openLink({ name: 'gateway:postgres', port: 0, target });
  t.after(() => link.close());
  const url = new URL(database.url);
  url.hostname = '127.0.0.1';
  url.port = String(link.port);
  const gateway = await start(t, { DATABASE_URL: url.href, COMMAND_SQL_TIMEOUT_MS: '300' });
  const command = await sent(gateway, 'room-12', { kind: 'reboot' });
  await link.set({ ...passing, state: 'cut' });
  const refused = await send(gateway, 'room-12', { kind: 'reboot' });
  assert.deepEqual([refused.status, refused.body.code], [503, 'command.database_down']);
  const device = await listening(gateway, 'room-12');
  await device.publish('thermostat/data/room-12', '{"seq":1}');
  assert.equal(messages(device).length, 0);
  await link.set(passing);
  await until('the command', () => messages(device).length > 0);
  await acknowledge(device, 'room-12', command.commandId);
  await untilStatus(gateway, command, 'done');
});

it('a gateway killed between store and send loses no command', async (t) => {
  await using temporary = await temporaryFolder('commands');
  const witness = path.join(temporary.folder, 'witness');
  const run = async (crash: string) => {
    const script = fileURLToPath(new URL('../../main.ts', import.meta.url));
    const env = testEnvironment(temporary.folder, {
      DATABASE_URL: database.url,
      ...settings,
      LOG_LEVEL: 'silent',
    });
    const child = spawn(process.execPath, [script], {
      env: { ...env, CRASH_POINT: crash, CRASH_WITNESS_FILE: witness },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    t.after(() => child.kill('SIGKILL'));
    const [ready] = (await once(child, 'message')) as [{ mqttPort: number; httpPort: number }];
    return { ...ready, gone: once(child, 'exit') };
  };
  const key = randomUUID();
  const first = await run('command.after-accept');
  await assert.rejects(send(first, 'room-13', { kind: 'reboot' }, key));
  await first.gone;
  const second = await run('command.before-send');
  const command = (await send(second, 'room-13', { kind: 'reboot' }, key)).body as unknown as CommandAccepted;
  const { client: early } = await connectClient(second.mqttPort, deviceLogin('room-13'));
  early.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: commandTopic('room-13'), qos: 1 }] });
  await second.gone;
  assert.equal(messages(early).length, 0);
  const third = await run('');
  const { client: device } = await connectClient(third.mqttPort, deviceLogin('room-13'));
  confirm(device);
  await device.subscribe(commandTopic('room-13'));
  await until('the command', () => messages(device).length > 0);
  assert.equal(messages(device)[0]?.commandId, command.commandId);
  assert.equal(((await ask(third, 'room-13')).body as unknown as CommandPage).items.length, 1);
  await acknowledge(device, 'room-13', command.commandId);
  await untilStatus(third, command, 'done');
});

it('without a database commands are refused, and the broker works', async (t) => {
  const gateway = await startGateway(t);
  const answer = await send(gateway, 'room-14', { kind: 'reboot' });
  assert.deepEqual([answer.status, answer.body.code], [503, 'command.off']);
  const device = await listening(gateway, 'room-14');
  await device.publish(statusTopic('room-14'), JSON.stringify({ commandId: randomUUID(), status: 'done' }));
});
