/** Helpers of the integration tests: the real gateway as a process, and a publishing device. */
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

/** A running gateway. */
export interface Gateway {
  readonly address: MqttAddress;
  /** Base URL of its HTTP routes. */
  readonly url: string;
  /** Kills the gateway and removes its store. */
  remove(): Promise<void>;
}

/** Starts a gateway with an empty store on free ports. */
export async function startGateway(more: NodeJS.ProcessEnv = {}): Promise<Gateway> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'thermomesh-analytics-'));
  const env = {
    MESH_SECRET: secret,
    DATA_DIR: folder,
    MQTT_PORT: '0',
    HTTP_PORT: '0',
    LOG_LEVEL: 'error',
    ...more,
  };
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
    const [{ mqttPort, httpPort }] = (await Promise.race([once(child, 'message', { signal }), ended])) as [
      { mqttPort: number; httpPort: number },
    ];
    return {
      address: { host: '127.0.0.1', port: mqttPort },
      url: `http://127.0.0.1:${httpPort}`,
      remove,
    };
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

/**
 * Publishes readings with these numbers one after another. Resolves when the last one is
 * acknowledged.
 */
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
    connection.send({
      cmd: 'publish',
      topic: dataTopic(deviceId),
      payload,
      qos: 1,
      messageId: 1,
      dup: false,
      retain: false,
    });
    await acknowledged;
  }
  connection.end();
}
