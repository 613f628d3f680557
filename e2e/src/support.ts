/** What the end-to-end tests share: meshes that end with their file, MQTT clients, readings. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, type TestContext } from 'node:test';
import { startMesh, until, type MeshHandle, type StartMeshOptions } from '@thermomesh/mesh';
import type { CrashPoint } from '@thermomesh/runtime';
import mqtt, { type MqttClient } from 'mqtt';

export const waitMs = 60_000;

/** How the analytics nodes elect: the promises are the same. */
export type Election = NonNullable<StartMeshOptions['election']>;

/** Runs `test` against a mesh of its own, which ends afterwards whatever happens. */
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

/** Prints what the processes of a mesh logged last: its logs are gone with it. */
function tellLastLines(mesh: MeshHandle): void {
  for (const name of toldProcesses) {
    const file = mesh.logFile(name);
    const lines = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
    console.log([`last lines of ${name}:`, ...lines.slice(-toldLines)].join('\n  '));
  }
}

/** When a test of the surrounding suite fails, what its mesh logged last is printed. */
export function tellFailures(meshOf: () => MeshHandle): void {
  afterEach((test) => {
    // Node has it since 20.12; its types do not say so.
    if (!(test as TestContext & { readonly passed: boolean }).passed) tellLastLines(meshOf());
  });
}

/** Environment of a process that ends or freezes at `point`, on its nth passing, and says so in `witness`. */
export function crashAt(
  point: CrashPoint,
  witness: string,
  nth = 1,
  action: 'kill' | 'stop' = 'kill',
): Record<string, string> {
  return { CRASH_POINT: `${point}:${nth}:${action}`, CRASH_WITNESS_FILE: witness };
}

/** The crash points that were hit, as their processes wrote them down just before. */
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

/** A file of this mesh's folder. */
export function fileOf(home: string, name: string): string {
  return path.join(home, name);
}

/** A connected device, as in the field: mqtt.js with the device's own credentials. */
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
