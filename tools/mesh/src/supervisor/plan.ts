/** The mesh as a program: which processes it has, in which order, and what each is told. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@thermomesh/runtime';
import { startPostgres } from '@thermomesh/servers';
import type { MeshConfig } from '../config.ts';
import { tailOf } from '../state/files.ts';
import { controlName } from '../links/names.ts';
import type { Layout } from '../state/layout.ts';
import type { MeshPorts } from '../state/ports.ts';
import { launchNode, markName } from './child.ts';
import { linkPort, linkSpecs, nodeAddresses } from './addresses.ts';
import type { Launched, ProcessSpec } from './spec.ts';
import type { Stage } from './supervisor.ts';

export interface PlanOptions {
  config: MeshConfig;
  layout: Layout;
  ports: MeshPorts;
  /** Simulated devices; 0 runs no fleet. */
  fleetDevices: number;
  /** Links of the nodes go through the proxies of a process of their own. */
  proxied: boolean;
  /** By process name; values over what the plan sets. */
  extraEnv: Record<string, Record<string, string>>;
  notice: (line: string) => void;
}

export interface MeshPlan {
  stages: Stage[];
  mqttUrl: string;
  httpUrl: string;
  /** Null until PostgreSQL has started for the first time. */
  databaseUrl(): string | null;
  /** Names of all processes. */
  names: string[];
}

const host = '127.0.0.1';
/** An orderly stop gets a little more than the services' own deadline (STOP_TIMEOUT_MS, 10 s). */
const serviceStopTimeoutMs = 12_000;
const fleetStopTimeoutMs = 8_000;
const migrateTailLines = 15;
/** A crash point is for one life of a process: started again with it, it would never get anywhere. */
const onceOnly = /^CRASH_/;

/** Addresses that several processes need. */
interface Urls {
  mqtt: string;
  http: string;
  nodes: string[];
}

/** Builds the plan; nothing is started yet. */
export function planMesh(options: PlanOptions): MeshPlan {
  const { config, ports } = options;
  const urls: Urls = {
    mqtt: `mqtt://${host}:${ports.mqtt}`,
    http: `http://${host}:${ports.http}`,
    nodes: ports.nodes.map((port) => `http://${host}:${port}`),
  };
  let databaseUrl = config.databaseUrl ?? null;
  const ownDatabase = config.databaseUrl === undefined;
  const own = ownDatabase ? [postgresSpec(options, (url) => (databaseUrl = url))] : [];
  const stages: Stage[] = [
    {
      specs: options.proxied ? [...own, linksSpec(options)] : own,
      after: async () => runMigrations(options, databaseUrl ?? ''),
    },
    { specs: [gatewaySpec(options, urls)] },
    {
      specs: ports.nodes.map((port, index) =>
        nodeSpec(options, urls, index + 1, port, () => databaseUrl ?? ''),
      ),
    },
  ];
  if (options.fleetDevices > 0) stages.push({ specs: [fleetSpec(options, urls)] });
  return {
    stages,
    mqttUrl: urls.mqtt,
    httpUrl: urls.http,
    databaseUrl: () => databaseUrl,
    names: stages.flatMap(({ specs }) => specs.map(({ name }) => name)),
  };
}

function gatewaySpec(options: PlanOptions, urls: Urls): ProcessSpec {
  const { layout, ports } = options;
  const own = () => ({
    ...commonEnv(layout),
    DATA_DIR: layout.gatewayDir,
    MQTT_HOST: host,
    MQTT_PORT: String(ports.mqtt),
    HTTP_PORT: String(ports.http),
  });
  const script = 'services/gateway/src/main.ts';
  const { mqtt, http } = ports;
  return {
    name: 'gateway',
    role: 'gateway',
    url: urls.http,
    ports: { mqtt, http },
    logFile: layout.logFile('gateway'),
    launch: async (start) => launchService(options, 'gateway', script, urls.http, start, own()),
  };
}

function nodeSpec(
  options: PlanOptions,
  urls: Urls,
  id: number,
  port: number,
  databaseUrl: () => string,
): ProcessSpec {
  const { layout } = options;
  const name = `node-${id}`;
  const url = `http://${host}:${port}`;
  const own = () => ({
    ...commonEnv(layout),
    NODE_ID: String(id),
    ...nodeAddresses(options, id, { ...urls, database: databaseUrl() }),
    HTTP_PORT: String(port),
  });
  const script = 'services/analytics/src/main.ts';
  return {
    name,
    role: 'analytics',
    url,
    ports: { http: port },
    logFile: layout.logFile(name),
    launch: async (start) => launchService(options, name, script, url, start, own()),
  };
}

function linksSpec(options: PlanOptions): ProcessSpec {
  const { config, layout, ports } = options;
  const control = linkPort(ports, controlName);
  const url = `http://${host}:${control}`;
  const own = () => ({
    MESH_SECRET_FILE: layout.secretFile,
    HTTP_PORT: String(control),
    LINKS: JSON.stringify(linkSpecs(ports, config.databaseUrl)),
  });
  return {
    name: 'links',
    role: 'links',
    url,
    ports: { http: control },
    logFile: layout.logFile('links'),
    launch: async (start) =>
      launchService(options, 'links', 'tools/mesh/src/links/main.ts', url, start, own()),
  };
}

function commonEnv(layout: Layout): Record<string, string> {
  return { MESH_SECRET_FILE: layout.secretFile, API_KEYS_FILE: layout.apiKeysFile, HTTP_HOST: host };
}

async function launchService(
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

function postgresSpec(options: PlanOptions, onUrl: (url: string) => void): ProcessSpec {
  const { layout, ports } = options;
  const logFile = layout.logFile('postgres');
  return {
    name: 'postgres',
    role: 'postgres',
    url: `postgresql://${host}:${ports.postgres}`,
    ports: { sql: ports.postgres },
    logFile,
    async launch(start) {
      const server = await startPostgres({
        dataDir: layout.postgresDir,
        port: ports.postgres,
        logFile,
        replaceRunning: true,
        onNotice: (line) => start === 1 && options.notice(line),
      });
      onUrl(server.url);
      return { ...server, ready: Promise.resolve(), stop: async () => server.stop() };
    },
  };
}

function fleetSpec(options: PlanOptions, urls: Urls): ProcessSpec {
  const { config, layout } = options;
  const words = [
    'simulate',
    '--mqtt-url',
    urls.mqtt,
    '--secret-file',
    layout.secretFile,
    '--state',
    layout.fleetFile,
  ];
  return {
    name: 'fleet',
    role: 'fleet',
    url: null,
    ports: {},
    logFile: layout.logFile('fleet'),
    launch: async (start) =>
      launchNode({
        script: path.join(config.root, 'apps/thermostat/src/main.ts'),
        args: [...words, '--devices', String(options.fleetDevices)],
        env: environmentOf(options, 'fleet', start, {}),
        stateDir: layout.folder,
        logFile: layout.logFile('fleet'),
        stopTimeoutMs: fleetStopTimeoutMs,
      }),
  };
}

function environmentOf(
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

/** Runs the migrations once, before any node starts. @throws MeshError `schema.failed` */
async function runMigrations({ config, layout }: PlanOptions, databaseUrl: string): Promise<void> {
  const logFile = layout.logFile('migrate');
  mkdirSync(layout.logsDir, { recursive: true });
  const log = openSync(logFile, 'a', 0o640);
  const child = spawn(process.execPath, [path.join(config.root, 'services/analytics/src/migrate.ts')], {
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
    throw new MeshError(
      'schema.failed',
      `the migration of the database failed:\n${tailOf(logFile, migrateTailLines)}`,
    );
  }
}
