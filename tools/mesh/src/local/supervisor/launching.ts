/**
 * How the plan starts programs of this repository: their environment, and how long it waits for
 * them.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import type { ElectionStrategy, MeshConfig } from '../../config.ts';
import { meshError } from '../../errors.ts';
import type { Layout } from '../../mesh/files/layout.ts';
import type { CoordinationSizes, MeshPorts } from '../state/ports.ts';
import type { ServerKind } from '../state/servers.ts';
import { causeIn, sizeOf } from './cause.ts';
import { launchNode, markName } from './child.ts';
import type { Launched } from './spec.ts';

export interface PlanOptions {
  /** Name of the mesh. */
  name: string;
  config: MeshConfig;
  layout: Layout;
  ports: MeshPorts;
  /** Number of simulated devices; 0 runs no fleet. */
  fleetDevices: number;
  /** Puts the links of the nodes through proxies, which run in a process of their own. */
  proxied: boolean;
  /** Runs Redis, the card processor and billing; the gateway has a checkout. */
  payments: boolean;
  /** Runs ZooKeeper and Kafka. */
  coordination?: CoordinationSizes | undefined;
  /** Number of equalizer nodes; default 0. They need ZooKeeper and Kafka. */
  equalizers?: number;
  /** Default `bully`. */
  election?: ElectionStrategy;
  /** Variables by process name, which override those of the plan. */
  extraEnv: Record<string, Record<string, string>>;
  /** Servers that the operator adopts with this start. */
  adopt?: readonly ServerKind[] | undefined;
  notice: (line: string) => void;
}

export const host = '127.0.0.1';
/** A little more than the services' own deadline of a graceful stop (STOP_TIMEOUT_MS, 10 s). */
const serviceStopTimeoutMs = 12_000;
/**
 * A crash point is set for one start only: a restarted process would crash at the same point again.
 */
const onceOnly = /^CRASH_/;

/** Starts a service; it is ready when its `/readyz` answers 2xx. */
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

/** The environment of process `name` at its start number `start`. */
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

/**
 * Runs the migrations of a service.
 * @throws MeshError `schema.failed`
 */
export async function runMigrations(
  { config, layout }: PlanOptions,
  service: 'analytics' | 'billing' | 'gateway',
  databaseUrl: string,
  more: Record<string, string> = {},
): Promise<void> {
  const logFile = layout.logFile('migrate');
  mkdirSync(layout.logsDir, { recursive: true });
  const logged = sizeOf(logFile);
  const log = openSync(logFile, 'a', 0o640);
  const script = path.join(config.root, 'services', service, 'src/migrate.ts');
  const child = spawn(process.execPath, [script], {
    detached: true,
    env: { ...config.environment, ...more, DATABASE_URL: databaseUrl, [markName]: layout.folder },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0) {
    const why = causeIn(logFile, logged) ?? 'it ended without a word';
    const own = config.databaseUrl === undefined ? '' : ' (DATABASE_URL names this database)';
    throw meshError(
      'schema.failed',
      `the migration of the database for ${service} failed: ${why}${own}\n  its log: ${logFile}`,
    );
  }
}
