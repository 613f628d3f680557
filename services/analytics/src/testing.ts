/** For integration tests: the real gateway as a child process, and a device that publishes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { dataTopic } from '@thermomesh/contracts';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { connectMqtt, type MqttAddress } from './adapters/mqtt-connection.ts';

export const secret = 'integration-tests-of-the-analytics-nodes-0123456789';
const gatewayMain = path.resolve(import.meta.dirname, '../../gateway/src/main.ts');
const waitMs = 30_000;
const pollMs = 10;

/** Waits for a condition. @throws Error that says what was waited for */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${waitMs} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

export interface Gateway {
  readonly address: MqttAddress;
  /** Ends it and removes its store. */
  remove(): Promise<void>;
}

/** Starts a gateway with an empty store on free ports. */
export async function startGateway(): Promise<Gateway> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'thermomesh-analytics-'));
  const env = { MESH_SECRET: secret, DATA_DIR: folder, MQTT_PORT: '0', HTTP_PORT: '0', LOG_LEVEL: 'warn' };
  const child = spawn(process.execPath, [gatewayMain], {
    env,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const remove = async () => {
    await killed(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const signal = AbortSignal.timeout(waitMs);
    const ended = once(child, 'exit', { signal }).then(([code]) =>
      Promise.reject(new Error(`the gateway ended with ${String(code)} before it was ready`)),
    );
    ended.catch(() => undefined);
    const [{ mqttPort }] = (await Promise.race([once(child, 'message', { signal }), ended])) as [
      { mqttPort: number },
    ];
    return { address: { host: '127.0.0.1', port: mqttPort }, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

/** Publishes readings with these numbers, one after the other, and returns when the last is acknowledged. */
export async function publishReadings(address: MqttAddress, deviceId: string, seqs: number[]): Promise<void> {
  const { connection } = await connectMqtt({
    ...address,
    clientId: deviceId,
    username: deviceId,
    password: deriveToken(secret, subjects.device(deviceId)),
    clean: true,
    keepaliveSeconds: 60,
    timeoutMs: waitMs,
  });
  for (const seq of seqs) {
    const acknowledged = connection.expect('puback', waitMs);
    const payload = JSON.stringify({ deviceId, seq, measuredAt: 1_700_000_000_000 + seq, celsius: 21 });
    const rest = { qos: 1, messageId: 1, dup: false, retain: false } as const;
    connection.send({ cmd: 'publish', topic: dataTopic(deviceId), payload, ...rest });
    await acknowledged;
  }
  connection.end();
}
