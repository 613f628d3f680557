/** The proxy in front of real analytics nodes, a real PostgreSQL and a real ZooKeeper. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { it, type TestContext } from 'node:test';
import { dataTopic } from '@thermomesh/contracts';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { freePort, testDatabase, testZooKeeper } from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { ServiceDiscovery, ZooKeeper } from '@thermomesh/zookeeper';
import { startGateway, testSecret } from '../testing.ts';

const analytics = path.resolve(import.meta.dirname, '../../../analytics/src');
const authorization = `Bearer ${deriveToken(testSecret, subjects.operator)}`;
const servicesPath = '/test/services';

/** Starts a program; it is killed after the test. */
function program(t: TestContext, script: string, env: NodeJS.ProcessEnv): ChildProcess {
  const child = spawn(process.execPath, [path.join(analytics, script)], {
    env: { LOG_LEVEL: 'error', ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  t.after(() => void child.kill('SIGKILL'));
  return child;
}

/** A listener that announces itself without the mesh's secret, and what it was sent. */
async function rogue(t: TestContext, zookeeperHosts: string): Promise<IncomingMessage[]> {
  const seen: IncomingMessage[] = [];
  const server = http.createServer((request, response) => {
    seen.push(request);
    response.end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => void server.close());
  const zk = new ZooKeeper({ hosts: zookeeperHosts, sessionTimeoutMs: 10_000 });
  zk.start();
  const { port } = server.address() as AddressInfo;
  const proof = deriveToken('another secret, long enough to pass as one', 'announcement');
  const self = { id: 'node-0', instance: { address: '127.0.0.1', port, metadata: { proof } } };
  const listed = new ServiceDiscovery(zk, { path: servicesPath, service: 'analytics', self }).start();
  t.after(async () => {
    await zk.close();
    await listed.close();
  });
  await until('the listing without a proof', () => listed.announced);
  return seen;
}

it('any node may die or freeze, and no token reaches an unproven listener', async (t) => {
  const [database, zookeeper] = await Promise.all([testDatabase(), testZooKeeper({ tickTimeMs: 100 })]);
  t.after(async () => Promise.all([database.drop(), zookeeper.remove()]));
  const migration = program(t, 'migrate.ts', { DATABASE_URL: database.url });
  assert.deepEqual(await once(migration, 'exit'), [0, null]);
  const logLines: string[] = [];
  const gateway = await startGateway(t, {
    logLines,
    env: {
      ZOOKEEPER_HOSTS: zookeeper.hosts,
      SERVICES_PATH: servicesPath,
      ANALYTICS_TRY_TIMEOUT_MS: '1000',
    },
  });
  const seen = await rogue(t, zookeeper.hosts);
  const ask = async (route: string, init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${gateway.httpPort}${route}`, {
      ...init,
      headers: { authorization, ...init.headers },
    });
  const refused = await ask('/v1/devices');
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '2']);
  assert.match(refused.headers.get('content-type') ?? '', /^application\/problem\+json/);

  const ports = [await freePort(), await freePort()];
  const nodes = ports.map((port, index) =>
    program(t, 'main.ts', {
      MESH_SECRET: testSecret,
      DATABASE_URL: database.url,
      MQTT_URL: `mqtt://127.0.0.1:${gateway.mqttPort}`,
      ZOOKEEPER_HOSTS: zookeeper.hosts,
      SERVICES_PATH: servicesPath,
      NODE_ID: String(index + 1),
      PEERS: ports.map((each, peer) => `${peer + 1}=http://127.0.0.1:${each}`).join(','),
      HTTP_PORT: String(port),
      RENDEZVOUS_TIMEOUT_MS: '0',
      SETTLE_MS: '50',
    }),
  );
  const device = await gateway.device('d1');
  const payload = JSON.stringify({ deviceId: 'd1', seq: 1, measuredAt: Date.now(), celsius: 21.5 });
  device.send({
    cmd: 'publish',
    topic: dataTopic('d1'),
    payload,
    qos: 1,
    messageId: 1,
    dup: false,
    retain: false,
  });
  await until(
    'the reading at the gateway’s address',
    async () => (await ask('/v1/devices/d1')).status === 200,
  );
  const readings = (await (await ask('/v1/devices/d1/readings?limit=1')).json()) as { items: unknown[] };
  assert.equal(readings.items.length, 1);

  const found = () => logLines.findLast((line) => line.includes('readings.nodes_found')) ?? '';
  await until('both nodes', () => ports.every((port) => found().includes(`:${port}`)));
  nodes[0]?.kill('SIGSTOP');
  for (let round = 0; round < 4; round++) assert.equal((await ask('/v1/devices')).status, 200);
  const keyed = { method: 'POST', headers: { 'idempotency-key': 'open-1' } };
  const opened = await Promise.all([1, 2].map(async () => ask('/v1/devices/d1/incarnations', keyed)));
  assert.deepEqual(opened.map(({ status }) => status).toSorted(), [200, 201]);
  nodes[0]?.kill('SIGCONT');
  nodes[1]?.kill('SIGKILL');
  for (let round = 0; round < 4; round++) assert.equal((await ask('/v1/rejected')).status, 200);
  nodes[0]?.kill('SIGKILL');
  await until('no fit node', async () => (await ask('/v1/accounts')).status === 503);
  assert.equal(seen.length, 0);
});
