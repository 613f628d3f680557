import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import path from 'node:path';
import { it, type TestContext } from 'node:test';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { until } from '@thermomesh/testing';
import { connectClient, openSocket, type TestClient } from './broker/adapters/testing/mqtt-client.ts';
import { deviceLogin, drainLogin, folderFor, operatorLogin, testEnvironment, testSecret } from './testing.ts';

/**
 * The time that the settings allow. A gateway that waits for a deadline takes at least half of it,
 * and a graceful shutdown takes far less than the bound of the tests.
 */
const stopTimeoutMs = 120_000;
const boundMs = 30_000;
const jobId = '01234567-89ab-4cde-8f01-23456789abcd';
const authorization = `Bearer ${deriveToken(testSecret, subjects.operator)}`;

interface Running {
  child: ChildProcess;
  mqttPort: number;
  httpPort: number;
}

async function start(t: TestContext, env: NodeJS.ProcessEnv = {}): Promise<Running> {
  const limits = { STOP_TIMEOUT_MS: String(stopTimeoutMs), ...env };
  const main = path.join(import.meta.dirname, 'main.ts');
  const child = fork(main, { env: testEnvironment(await folderFor(t), limits), silent: true });
  child.stdout!.resume();
  t.after(() => child.kill('SIGKILL'));
  const [{ mqttPort, httpPort }] = (await once(child, 'message')) as [{ mqttPort: number; httpPort: number }];
  return { child, mqttPort, httpPort };
}

/** Sends SIGTERM; the gateway must end by itself, and not because its time is up. */
async function assertStops({ child }: Running): Promise<void> {
  child.kill('SIGTERM');
  await until('the end of the gateway', () => child.exitCode !== null || child.signalCode !== null, {
    timeoutMs: boundMs,
  });
  assert.deepEqual([child.exitCode, child.signalCode], [0, null]);
}

async function rawSocket(t: TestContext, port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

const publish = { cmd: 'publish', topic: 'thermostat/data', qos: 1, dup: false, retain: false } as const;

async function publishMany(client: TestClient, count: number, payload: Buffer | string): Promise<void> {
  for (let messageId = 1; messageId <= count; messageId++) client.send({ ...publish, payload, messageId });
  const acks = () => client.received.filter(({ cmd }) => cmd === 'puback').length;
  await until('the PUBACKs', () => acks() === count);
}

/** An equalizer node that keeps every answer open: uploads are read, events never end. */
async function openNode(
  t: TestContext,
): Promise<{ url: string; uploads: () => number; events: () => number }> {
  const seen = { uploads: 0, events: 0 };
  const server = http.createServer((request, response) => {
    request.on('error', () => undefined);
    if (request.method === 'POST') {
      seen.uploads += 1;
      request.resume();
      return;
    }
    seen.events += 1;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(': open\n\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, uploads: () => seen.uploads, events: () => seen.events };
}

it('open HTTP connections, idle or in the middle of a request, do not hold SIGTERM', async (t) => {
  const gateway = await start(t);
  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  await new Promise<void>((resolve, reject) => {
    const options = { port: gateway.httpPort, path: '/livez', agent };
    const request = http.get(options, (response) => response.resume().on('end', resolve));
    request.on('error', reject);
  });
  (await rawSocket(t, gateway.httpPort)).write('GET /livez HTTP/1.1\r\nHost: x');
  (await rawSocket(t, gateway.httpPort)).write(
    `POST /v1/checkouts HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
  );
  await rawSocket(t, gateway.httpPort);
  await assertStops(gateway);
});

it('an open event stream and uploads under way do not hold SIGTERM', async (t) => {
  const node = await openNode(t);
  const gateway = await start(t, { EQUALIZER_URLS: node.url });
  const events = await fetch(`http://127.0.0.1:${gateway.httpPort}/v1/jobs/${jobId}/events`, {
    headers: { authorization },
  });
  assert.equal(events.status, 200);
  const uploads = [1, 2].map(() => {
    const headers = {
      authorization,
      'content-type': 'multipart/form-data; boundary=x',
      'content-length': 1_000_000,
    };
    const options = { port: gateway.httpPort, path: '/v1/jobs', method: 'POST', headers };
    const upload = http.request(options).on('error', () => undefined);
    upload.write(Buffer.alloc(1000));
    t.after(() => upload.destroy());
    return upload;
  });
  await until('the uploads', () => node.uploads() === uploads.length && node.events() === 1);
  await assertStops(gateway);
  await events.body?.cancel().catch(() => undefined);
});

it('connections that have not finished their CONNECT do not hold SIGTERM', async (t) => {
  const gateway = await start(t);
  await rawSocket(t, gateway.mqttPort);
  (await rawSocket(t, gateway.mqttPort)).write(Buffer.from([0x10, 60, 0, 4, ...Buffer.from('MQTT'), 4]));
  // Refused, but the client does not read the answer and does not close.
  const refused = await rawSocket(t, gateway.mqttPort);
  refused.pause();
  refused.write(Buffer.from([0x10, 12, 0, 4, ...Buffer.from('MQTT'), 9, 2, 0, 60, 0, 0]));
  await assertStops(gateway);
});

it('a subscriber and a coordinator that do not read do not hold SIGTERM', async (t) => {
  const gateway = await start(t);
  const reader = (await connectClient(gateway.mqttPort, { ...operatorLogin('operator-1'), clean: false }))
    .client;
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'thermostat/#', qos: 1 }] });
  await reader.next('suback');
  const { client: drain } = await connectClient(gateway.mqttPort, drainLogin(1, 1));
  reader.socket.pause();
  drain.socket.pause();
  const { client: device } = await connectClient(gateway.mqttPort, deviceLogin('d1'));
  // More than the buffers of the sockets take.
  await publishMany(device, 600, Buffer.alloc(20_000, 'x'));
  await assertStops(gateway);
  for (const client of [reader, drain, device]) client.destroy();
});

it('publishers that never pause, and wills, do not hold SIGTERM', async (t) => {
  const gateway = await start(t);
  const will = { topic: 'thermostat/status/d0', payload: Buffer.from('gone'), qos: 1, retain: true } as const;
  const devices: TestClient[] = [];
  for (let at = 0; at < 8; at++) {
    const more = at === 0 ? { will } : {};
    devices.push((await connectClient(gateway.mqttPort, { ...deviceLogin(`d${at}`), ...more })).client);
  }
  let acked = 0;
  for (const device of devices) {
    let messageId = 0;
    const next = () => {
      messageId = (messageId % 60_000) + 1;
      if (!device.closed) device.send({ ...publish, payload: 'x', messageId });
    };
    device.socket.on('data', () => {
      acked += 1;
      next();
      next();
    });
    for (let first = 0; first < 10; first++) next();
  }
  await until('a steady load', () => acked > 200);
  await assertStops(gateway);
});

it('a client that is frozen in the middle of a packet does not hold SIGTERM', async (t) => {
  const gateway = await start(t);
  const { client } = await connectClient(gateway.mqttPort, deviceLogin('d1'));
  // The header announces 1016 bytes; the topic and a part of the payload follow.
  const topic = [0, publish.topic.length, ...Buffer.from(publish.topic)];
  client.socket.write(Buffer.from([0x32, 0xf8, 0x07, ...topic, 0, 1, ...Buffer.alloc(500, 'x')]));
  const idle = await openSocket(gateway.mqttPort);
  await assertStops(gateway);
  client.destroy();
  idle.destroy();
});
