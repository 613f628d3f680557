/** The load generator as a child, and the verdict on what it did. */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { LoadDocument } from '@thermomesh/contracts';
import { loadDocument, readLedger, type Comparison } from '@thermomesh/ledger';
import { MeshError, messageOf } from '@thermomesh/runtime';
import { compareWithSql, keepsPromise } from '../verdict/ledgers.ts';
import { openPool } from '../verdict/verify.ts';
import { untilDrained } from './drained.ts';
import type { Mesh } from './mesh.ts';

export interface LoadOptions {
  devices: number;
  /** Readings per second, over all devices. */
  rate: number;
  seconds: number;
  qos: 0 | 1;
  /** Further arguments of the generator by name, such as `skew`. */
  more: Record<string, string | number>;
}

/** What the generator prints at its end (apps/thermostat/README.md); the rest of it is in the ledger. */
interface LoadSummary {
  runId: string;
  ledger: string;
  ratePerSecond: number;
}

export interface RunningLoad {
  /** Resolves when all devices are connected and sending has begun. @throws MeshError `load.failed` */
  sending: Promise<void>;
  /** Its summary, when it has ended. @throws MeshError `load.failed` */
  finished: Promise<LoadSummary>;
  /** No new readings: it waits for the acks that are out and ends. */
  finish(): void;
}

/** Starts the generator; its progress goes to stderr. */
export function startLoad(mesh: Mesh, options: LoadOptions): RunningLoad {
  const run = mesh.run();
  if (run === undefined) throw new MeshError('mesh.not_up', `the mesh "${mesh.name}" is not up`);
  mkdirSync(mesh.layout.ledgersDir, { recursive: true });
  const { devices, rate, seconds, qos } = options;
  const values = {
    'mqtt-url': run.mqttUrl,
    'secret-file': mesh.layout.secretFile,
    ledger: mesh.layout.ledgersDir,
    name: mesh.name,
    ...{ devices, rate, seconds, qos },
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
    child.once('error', (error) => reject(new MeshError('load.failed', messageOf(error), { cause: error })));
    child.once('close', (code, signal) => {
      if (code === 0) resolve(JSON.parse(printed) as LoadSummary);
      else reject(new MeshError('load.failed', `the load generator ended with ${signal ?? `exit ${code}`}`));
    });
  });
  const sending = new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve());
    finished.then(() => resolve(), reject);
  });
  // Whoever waits for one of the two hears of the failure.
  sending.catch(() => undefined);
  finished.catch(() => undefined);
  return { sending, finished, finish: () => void child.kill('SIGTERM') };
}

export interface LoadVerdict {
  document: LoadDocument;
  comparison: Comparison;
  /** False if a promise is broken. */
  ok: boolean;
  /** Why the numbers may not be final; undefined if they are. */
  caveat: string | undefined;
}

/** Waits until what the load sent is drained and compares its ledger with SQL. */
export async function judgeLoad(
  mesh: Mesh,
  summary: LoadSummary,
  drainTimeoutMs: number,
  onProgress?: (remaining: number) => void,
): Promise<LoadVerdict> {
  let caveat: string | undefined;
  await untilDrained(mesh, {
    timeoutMs: drainTimeoutMs,
    ...(onProgress === undefined ? {} : { onProgress }),
  }).catch((error: unknown) => (caveat = messageOf(error)));
  const ledger = await readLedger(summary.ledger);
  const pool = openPool(mesh);
  try {
    const comparison = await compareWithSql(ledger, pool);
    const document = loadDocument(comparison, { ratePerSecond: summary.ratePerSecond });
    return {
      document,
      comparison,
      ok: keepsPromise(comparison, ledger.header.qos) && caveat === undefined,
      caveat,
    };
  } finally {
    await pool.close();
  }
}
