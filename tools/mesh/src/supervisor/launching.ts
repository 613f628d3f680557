/** How the plan starts programs of this repository: with which environment, and until when they are waited for. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@thermomesh/runtime';
import type { MeshConfig } from '../config.ts';
import { tailOf } from '../state/files.ts';
import type { Layout } from '../state/layout.ts';
import type { CoordinationSizes, MeshPorts } from '../state/ports.ts';
import type { ElectionStrategy } from '../state/run-file.ts';
import { launchNode, markName } from './child.ts';
import type { Launched } from './spec.ts';

export interface PlanOptions {
  /** Of the mesh. */
  name: string;
  config: MeshConfig;
  layout: Layout;
  ports: MeshPorts;
  /** Simulated devices; 0 runs no fleet. */
  fleetDevices: number;
  /** Links of the nodes go through the proxies of a process of their own. */
  proxied: boolean;
  /** Redis, the card processor and billing run, and the gateway has a checkout. */
  payments: boolean;
  /** ZooKeeper and Kafka run. */
  coordination?: CoordinationSizes | undefined;
  /** Equalizer nodes; none if left out. They need ZooKeeper and Kafka. */
  equalizers?: number;
  /** Bully if left out. */
  election?: ElectionStrategy;
  /** By process name; values over what the plan sets. */
  extraEnv: Record<string, Record<string, string>>;
  notice: (line: string) => void;
}

export const host = '127.0.0.1';
/** An orderly stop gets a little more than the services' own deadline (STOP_TIMEOUT_MS, 10 s). */
const serviceStopTimeoutMs = 12_000;
/** A crash point is for one life of a process: started again with it, it would never get anywhere. */
const onceOnly = /^CRASH_/;

/** One life of a service, ready when its `/readyz` says so. */
export async function launchService(
  options: PlanOptions,
  name: string,
  script: string,
  url: string,
  start: number,
  own: Record<string, string>,
): Promise<Launched> {
  return launchNode({
    script: path.join(options.config.root, script),
    env: environmentOf(options, name, start, own),
    stateDir: options.layout.folder,
    logFile: options.layout.logFile(name),
    readyUrl: `${url}/readyz`,
    stopTimeoutMs: serviceStopTimeoutMs,
  });
}

/** Of process `name` in its life number `start`. */
export function environmentOf(
  options: PlanOptions,
  name: string,
  start: number,
  own: Record<string, string>,
): Record<string, string> {
  const extra = Object.entries(options.extraEnv[name] ?? {}).filter(
    ([key]) => start === 1 || !onceOnly.test(key),
  );
  return { ...options.config.environment, ...own, ...Object.fromEntries(extra) };
}

/** Runs the migrations of a service to their end. @throws MeshError `schema.failed` */
export async function runMigrations(
  { config, layout }: PlanOptions,
  service: 'analytics' | 'billing' | 'gateway',
  databaseUrl: string,
): Promise<void> {
  const logFile = layout.logFile('migrate');
  mkdirSync(layout.logsDir, { recursive: true });
  const log = openSync(logFile, 'a', 0o640);
  const script = path.join(config.root, 'services', service, 'src/migrate.ts');
  const child = spawn(process.execPath, [script], {
    detached: true,
    env: { ...config.environment, DATABASE_URL: databaseUrl, [markName]: layout.folder },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0) {
    const why = tailOf(logFile, 1);
    throw new MeshError(
      'schema.failed',
      `the migration of the database for ${service} failed: ${why}; its log: ${logFile}`,
    );
  }
}
