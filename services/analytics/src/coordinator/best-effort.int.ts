import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { dataTopic, plausibleTimes, type BrokerDocument } from '@thermomesh/contracts';
import { createLog, createMetrics, deriveToken, subjects } from '@thermomesh/runtime';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, type SqlPool } from '@thermomesh/sql';
import { until } from '@thermomesh/testing';
import { connectMqtt, type MqttConnection } from '../adapters/mqtt-connection.ts';
import { openDrainSource } from '../adapters/mqtt-drain-source.ts';
import { openDrainStore } from '../adapters/pg-drain-store.ts';
import { createTelemetryQueries } from '../adapters/pg-telemetry-queries.ts';
import { createDrainMetrics } from '../metrics.ts';
import { publishReadings, secret, startGateway, type Gateway } from '../testing.ts';
import { createCoordinator, type Coordinator } from './coordinator.ts';

const endlessMs = 3_600_000;
const timeoutMs = 10_000;
let database: TestDatabase;
let pool: SqlPool;
let storing: Gateway;
let relaying: Gateway;

before(async () => {
  [database, storing, relaying] = await Promise.all([
    testDatabase(),
    startGateway({ QOS0: 'store' }),
    startGateway(),
  ]);
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  await migrate({ url: database.url, folder, table: 'analytics_schema' });
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
});
after(async () => {
  await pool.close();
  await Promise.all([database.drop(), storing.remove(), relaying.remove()]);
});

async function coordinate(gateway: Gateway): Promise<Coordinator> {
  const node = createCoordinator({
    nodeId: 1,
    crash: () => undefined,
    sqlAnswers: () => true,
    log: createLog('test', 'silent'),
    metrics: createDrainMetrics(createMetrics()),
    leaseMs: endlessMs,
    leaseRenewMs: endlessMs,
    retention: { keptHours: 1, rowsMax: 100, intervalMs: endlessMs },
    retry: { minMs: 10, maxMs: 100 },
    gapPolicy: 'stop',
    limits: () => ({ rowsMax: 2, bytesMax: 1024 * 1024, lingerMs: 0 }),
    openStore: () =>
      openDrainStore({
        url: database.url,
        applicationName: 'test-drain',
        connectTimeoutMs: timeoutMs,
        statementTimeoutMs: endlessMs,
        lockTimeoutMs: endlessMs,
        idleInTransactionTimeoutMs: endlessMs,
      }),
    openSource: (epoch) =>
      openDrainSource({
        address: gateway.address,
        nodeId: 1,
        secret,
        epoch,
        timeoutMs,
        keepaliveSeconds: 60,
        queueBytesMax: 1024 * 1024,
        times: plausibleTimes,
        onInvalid: (error) => assert.fail(error as Error),
      }),
    announce: async () => undefined,
    currentHolder: async () => null,
  });
  await until('the epoch', async () => (await node.claim('failover')).outcome === 'won');
  return node;
}

async function device(gateway: Gateway, deviceId: string): Promise<MqttConnection> {
  const password = deriveToken(secret, subjects.device(deviceId));
  const login = { clientId: deviceId, username: deviceId, password };
  const options = { ...gateway.address, ...login, clean: true, keepaliveSeconds: 60, timeoutMs };
  return (await connectMqtt(options)).connection;
}

/** Publishes a reading at QoS 0. */
function publish(connection: MqttConnection, deviceId: string, body: Record<string, unknown>): void {
  const payload = JSON.stringify({ deviceId, measuredAt: 1_700_000_000_000, celsius: 21, ...body });
  const message = { topic: dataTopic(deviceId), payload, dup: false, retain: false };
  connection.send({ cmd: 'publish', qos: 0, ...message });
}

const queries = () => createTelemetryQueries(pool);
const broker = async (gateway: Gateway) => {
  const headers = { authorization: `Bearer ${deriveToken(secret, subjects.operator)}` };
  return (await (await fetch(`${gateway.url}/v1/broker`, { headers })).json()) as BrokerDocument;
};

describe('readings at QoS 0', () => {
  it('are stored best effort with QOS0=store, and the accounts stay exact', async () => {
    const node = await coordinate(storing);
    const connection = await device(storing, 'q0');
    for (let seq = 0; seq < 3; seq++) publish(connection, 'q0', { seq });
    publish(connection, 'q0', { seq: 2 });
    publish(connection, 'q0', { seq: 2, celsius: 30 });
    publish(connection, 'q0', { seq: 'three' });
    await publishReadings(storing.address, 'q1', [0, 1]);
    await until('all six', async () => {
      const { stored, duplicate, rejected } = (await queries().accounts()).qos0!;
      return stored + duplicate + rejected === 6;
    });
    await until('the acknowledgements', async () => (await broker(storing)).counters.buffered === 0);
    const { stored, duplicate, rejected, qos0 } = await queries().accounts();
    assert.deepEqual(qos0, { relayed: 0, stored: 3, duplicate: 1, rejected: 2, dropped: 0 });
    const { counters } = await broker(storing);
    assert.deepEqual([counters.accepted, stored, duplicate, rejected], [2, 2, 0, 0]);
    const row = await queries().device('q0');
    assert.deepEqual([row?.seq, row?.qos0, row?.conflicts?.count], [2, null, 1]);
    node.close();
  });

  it('are counted at the device and not stored by default, with the refusals beside', async () => {
    const node = await coordinate(relaying);
    const connection = await device(relaying, 'plain');
    publish(connection, 'plain', { seq: 1 });
    publish(connection, 'plain', { seq: 2 });
    await until('the row', async () => (await queries().device('plain'))?.qos0?.count === 2);
    publish(connection, 'other', { seq: 1 });
    await connection.closed;
    await until('the refusal', async () => (await queries().device('plain'))?.refusals.length === 1);
    const row = await queries().device('plain');
    assert.deepEqual([row?.seq, row?.celsius], [null, null]);
    assert.deepEqual([row?.refusals[0]?.kind, row?.refusals[0]?.topic], ['publish', 'thermostat/data/other']);
    assert.equal((await queries().accounts()).qos0?.relayed, 2);
    assert.equal(await queries().device('other'), undefined);
    node.close();
  });
});
