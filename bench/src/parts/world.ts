/** The parts that a run starts: PostgreSQL, gateways, nodes, generators. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { BrokerDocument, CoordinatorDocument, isDocument } from '@thermomesh/contracts';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { freePort, startPostgres, type PostgresServer } from '@thermomesh/servers';
import { createPool, type SqlPool } from '@thermomesh/sql';
import { childEnvironment, repository } from '../config.ts';
import { benchError } from '../errors.ts';
import { startCallee, startProgram, type Callee, type Program, type RunningProgram } from './child.ts';
import { familyOf, type Watched } from './cpu.ts';
import type { Scope } from './scope.ts';

/** What all parts of a run share. */
export interface World {
  readonly scope: Scope;
  /** Temporary; holds all data of the run. */
  readonly folder: string;
  readonly secret: string;
  readonly postgres: PostgresServer;
  readonly pool: SqlPool;
  readonly profileDir: string | undefined;
  say(line: string): void;
}

export interface WorldOptions {
  scope: Scope;
  profileDir: string | undefined;
  say: (line: string) => void;
}

/**
 * Makes a folder and starts a PostgreSQL with analytics' schema and the settings of the mesh's own.
 */
export async function createWorld({ scope, profileDir, say }: WorldOptions): Promise<World> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-bench-'));
  // mkdtemp makes the folder private, but when root starts the server, another user runs it.
  await chmod(folder, 0o755);
  scope.onEnd(async () => rm(folder, { recursive: true, force: true }));
  const postgres = await startPostgres({
    dataDir: path.join(folder, 'postgres'),
    endWithParent: true,
    durableInit: false,
    onNotice: say,
  });
  scope.onEnd(async () => {
    await postgres.stop();
    await rm(postgres.dataDir, { recursive: true, force: true });
  });
  await promisify(execFile)(process.execPath, [path.join(repository, 'services/analytics/src/migrate.ts')], {
    env: { ...childEnvironment(), DATABASE_URL: postgres.url },
  });
  const pool = createPool({
    url: postgres.url,
    applicationName: 'bench',
    connectionsMax: 2,
    statementTimeoutMs: 60_000,
  });
  scope.onEnd(async () => pool.close());
  return { scope, folder, secret: randomBytes(24).toString('hex'), postgres, pool, profileDir, say };
}

export interface Gateway extends RunningProgram {
  readonly mqttPort: number;
  /** The gateway's account of its store and sessions. @throws MeshError `bench.no_answer` */
  broker(): Promise<BrokerDocument>;
}

export async function startGateway(world: World, name: string): Promise<Gateway> {
  const running = await startProgram(world.scope, {
    ...program(world, name, 'services/gateway/src/main.ts'),
    env: {
      MESH_SECRET: world.secret,
      DATA_DIR: path.join(world.folder, name),
      MQTT_PORT: '0',
      HTTP_PORT: '0',
      LOG_LEVEL: 'warn',
    },
  });
  const { mqttPort, httpPort } = running.ready as unknown as { mqttPort: number; httpPort: number };
  const url = `http://127.0.0.1:${httpPort}/v1/broker`;
  return { ...running, mqttPort, broker: async () => ask(world, url, BrokerDocument) };
}

export interface Node extends RunningProgram {
  readonly nodeId: number;
  /** Who coordinates, as this node sees it. @throws MeshError `bench.no_answer` */
  coordinator(): Promise<CoordinatorDocument>;
}

export interface NodeOptions {
  /** HTTP ports of nodes 1, 2, … */
  ports: readonly number[];
  nodeId: number;
  gateway: Gateway;
  env?: Record<string, string>;
}

export async function startNode(world: World, { ports, nodeId, gateway, env }: NodeOptions): Promise<Node> {
  const address = (index: number) => `http://127.0.0.1:${ports[index]}`;
  const running = await startProgram(world.scope, {
    ...program(world, `node-${nodeId}`, 'services/analytics/src/main.ts'),
    env: {
      MESH_SECRET: world.secret,
      NODE_ID: String(nodeId),
      PEERS: ports.map((_, index) => `${index + 1}=${address(index)}`).join(','),
      HTTP_PORT: String(ports[nodeId - 1]),
      DATABASE_URL: world.postgres.url,
      MQTT_URL: `mqtt://127.0.0.1:${gateway.mqttPort}`,
      LOG_LEVEL: 'warn',
      ...env,
    },
  });
  const url = `${address(nodeId - 1)}/v1/coordinator`;
  return { ...running, nodeId, coordinator: async () => ask(world, url, CoordinatorDocument) };
}

export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

/** Starts one of the bench's own children, `src/children/<script>.ts`. */
export async function startChild(world: World, name: string, script: string): Promise<Callee> {
  const { profileDir: _none, ...unprofiled } = world;
  return startCallee(
    world.scope,
    program({ ...unprofiled, profileDir: undefined }, name, `bench/src/children/${script}.ts`),
  );
}

/** PostgreSQL with all its processes, for `watchCpu`. */
export function postgresPids({ postgres }: World): Watched {
  return { postgresql: () => familyOf(postgres.pid) };
}

function program({ folder, profileDir }: World, name: string, script: string): Program {
  const base = { name, script, logFile: path.join(folder, `${name}.log`) };
  if (profileDir === undefined) return base;
  const nodeWords = [
    '--cpu-prof',
    `--cpu-prof-dir=${profileDir}`,
    `--cpu-prof-name=${name}-${Date.now()}.cpuprofile`,
  ];
  return { ...base, nodeWords, graceful: true };
}

async function ask<S extends typeof BrokerDocument | typeof CoordinatorDocument>(
  world: World,
  url: string,
  schema: S,
) {
  const headers = { authorization: `Bearer ${deriveToken(world.secret, subjects.operator)}` };
  const answer = await fetch(url, { headers });
  const body: unknown = await answer.json();
  if (!isDocument(schema, body)) throw benchError('bench.no_answer', `${url} answered ${answer.status}`);
  return body;
}
