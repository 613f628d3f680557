/** Helpers for all end-to-end tests: meshes that end with their file, MQTT clients, readings. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, type TestContext } from 'node:test';
import type { InvariantId, VerifyDocument } from '@thermomesh/contracts';
import { startMesh, until, type MeshHandle, type StartMeshOptions } from '@thermomesh/mesh/testing';
import type { CrashPoint } from '@thermomesh/runtime';
import mqtt, { type MqttClient } from 'mqtt';

/** Maximum duration of one wait. */
export const waitMs = 60_000;
/** A test with fewer acknowledged readings shows nothing. */
const ackedMin = 20;

/** How the analytics nodes elect their coordinator. The promises are the same for both. */
export type Election = NonNullable<StartMeshOptions['election']>;

/** Runs `test` against its own mesh, which is removed afterwards even if the test fails. */
export async function withMesh(
  options: StartMeshOptions,
  test: (mesh: MeshHandle) => Promise<void>,
): Promise<void> {
  const mesh = await startMesh(options);
  try {
    await test(mesh);
  } catch (error) {
    tellLastLines(mesh);
    throw error;
  } finally {
    await mesh.remove();
  }
}

const toldProcesses = ['supervisor', 'gateway', 'postgres', ...[1, 2, 3, 4, 5].map((node) => `node-${node}`)];
const toldLines = 20;

/**
 * Prints the last log lines of each process of a mesh, before the mesh is removed with its logs.
 */
function tellLastLines(mesh: MeshHandle): void {
  for (const name of toldProcesses) {
    const file = mesh.logFile(name);
    const lines = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
    console.log([`last lines of ${name}:`, ...lines.slice(-toldLines)].join('\n  '));
  }
}

/** The figures of a load, by itself or as a part of a series of faults. */
type Judged = Record<'lost' | 'duplicated' | 'corrupted', number | null> &
  ({ acked: number } | { load: { acked: number } | null });

/**
 * Asserts that there was a load, and that no acknowledged reading was lost, stored twice or changed
 * (I1).
 */
export function assertIntact(document: Judged): void {
  const { lost, duplicated, corrupted } = document;
  const acked = 'acked' in document ? document.acked : (document.load?.acked ?? 0);
  assert.ok(acked >= ackedMin, `${acked} readings were acknowledged`);
  assert.deepEqual({ lost, duplicated, corrupted }, { lost: 0, duplicated: 0, corrupted: 0 });
}

/**
 * Asserts that no promise is broken, and that these were judged and are kept. By default those that
 * a load of readings puts to the test.
 */
export function assertKept(
  { invariants }: Pick<VerifyDocument, 'invariants'>,
  judged: readonly InvariantId[] = ['I1', 'I2', 'I6'],
): void {
  const text = JSON.stringify(invariants, undefined, 1);
  assert.ok(
    invariants.every(({ ok }) => ok !== false),
    text,
  );
  const kept = invariants.filter(({ ok }) => ok === true).map(({ id }) => id);
  assert.deepEqual(
    judged.filter((id) => !kept.includes(id)),
    [],
    text,
  );
}

/** Prints the last log lines of the mesh whenever a test of the surrounding suite fails. */
export function tellFailures(meshOf: () => MeshHandle): void {
  afterEach((test) => {
    // Node has `passed` since 20.12; its types lack it.
    if (!(test as TestContext & { readonly passed: boolean }).passed) tellLastLines(meshOf());
  });
}

/**
 * The environment of a process that dies or freezes when it passes `point` for the nth time, and
 * records that in the file `witness`.
 */
export function crashAt(
  point: CrashPoint,
  witness: string,
  nth = 1,
  action: 'kill' | 'stop' = 'kill',
): Record<string, string> {
  return { CRASH_POINT: `${point}:${nth}:${action}`, CRASH_WITNESS_FILE: witness };
}

/** The crash points that processes have recorded, each just before it died or froze. */
export function witnessed(witness: string): string[] {
  if (!existsSync(witness)) return [];
  return readFileSync(witness, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' ')[0] ?? '');
}

/** Waits until the crash point has been hit. */
export async function untilHit(witness: string, point: CrashPoint): Promise<void> {
  await until({ what: `crash point ${point}`, timeoutMs: waitMs }, async () =>
    witnessed(witness).includes(point),
  );
}

/** The path of a file in this mesh's folder. */
export function fileOf(home: string, name: string): string {
  return path.join(home, name);
}

/** Connects a device by mqtt.js with the device's own credentials. */
export async function connectDevice(
  mesh: MeshHandle,
  deviceId: string,
  options: mqtt.IClientOptions = {},
): Promise<MqttClient> {
  return mqtt.connectAsync(mesh.mqttUrl, {
    clientId: deviceId,
    username: deviceId,
    password: mesh.deviceToken(deviceId),
    reconnectPeriod: 100,
    ...options,
  });
}

/** Publishes at QoS 1 on the device's own topic and waits for the PUBACK. */
export async function publish(client: MqttClient, deviceId: string, payload: string | Buffer): Promise<void> {
  await client.publishAsync(`thermostat/data/${deviceId}`, payload, { qos: 1 });
}

/** The JSON of a reading. */
export function reading(deviceId: string, seq: number, more: Record<string, unknown> = {}): string {
  return JSON.stringify({
    deviceId,
    seq,
    measuredAt: 1_700_000_000_000 + seq,
    celsius: 20 + (seq % 10) / 10,
    ...more,
  });
}
