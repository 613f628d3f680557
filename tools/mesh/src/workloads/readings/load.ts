/** The load generator as a child process. */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { keepWithin, ledgerExtension } from '@thermomesh/ledger';
import { messageOf } from '@thermomesh/runtime';
import { meshError } from '../../errors.ts';
import type { Mesh } from '../../mesh/mesh.ts';

export interface LoadOptions {
  devices: number;
  /** Readings per second, over all devices. */
  rate: number;
  seconds: number;
  qos: 0 | 1;
  /** Further arguments of the generator by name, such as `skew`. */
  more: Record<string, string | number>;
}

/**
 * The generator's output at its end (apps/thermostat/README.md); everything else is in the ledger.
 */
export interface LoadSummary {
  runId: string;
  ledger: string;
  ratePerSecond: number;
}

export interface RunningLoad {
  /**
   * Resolves when all devices are connected and sending has begun.
   * @throws MeshError `load.failed`
   */
  sending: Promise<void>;
  /**
   * The summary, once the generator has ended.
   * @throws MeshError `load.failed`
   */
  finished: Promise<LoadSummary>;
  /** Sends no new readings; the generator waits for open acks and ends. */
  finish(): void;
}

/** Starts the generator; its progress goes to stderr. */
export function startLoad(mesh: Mesh, options: LoadOptions): RunningLoad {
  const run = mesh.run();
  if (run === undefined) throw meshError('mesh.not_up', `the mesh "${mesh.name}" is not up`);
  mkdirSync(mesh.layout.ledgersDir, { recursive: true });
  const isOfLoad = (name: string) => name.endsWith(ledgerExtension) && !name.startsWith('fleet-');
  keepWithin(mesh.layout.ledgersDir, mesh.config.evidenceBytesMax, isOfLoad);
  const { devices, rate, seconds, qos } = options;
  const values = {
    'mqtt-url': run.mqttUrl,
    'secret-file': mesh.layout.secretFile,
    ledger: mesh.layout.ledgersDir,
    name: mesh.name,
    devices,
    rate,
    seconds,
    qos,
    ...options.more,
  };
  const words = Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const script = path.join(mesh.config.root, 'apps/thermostat/src/main.ts');
  const child = spawn(process.execPath, [script, 'load', ...words, '--json'], {
    env: mesh.config.environment,
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  let printed = '';
  child.stdout?.on('data', (bytes: Buffer) => (printed += bytes.toString()));
  const finished = new Promise<LoadSummary>((resolve, reject) => {
    child.once('error', (error) => reject(meshError('load.failed', messageOf(error), { cause: error })));
    child.once('close', (code, signal) => {
      if (code === 0) resolve(JSON.parse(printed) as LoadSummary);
      else reject(meshError('load.failed', `the load generator ended with ${signal ?? `exit ${code}`}`));
    });
  });
  const sending = new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve());
    finished.then(() => resolve(), reject);
  });
  // A caller that waits for one of the two promises gets the failure.
  sending.catch(() => undefined);
  finished.catch(() => undefined);
  return { sending, finished, finish: () => void child.kill('SIGTERM') };
}
