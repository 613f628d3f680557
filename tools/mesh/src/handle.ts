/** A real mesh for a test: its own folder, its own ports, everything ended afterwards. */
import { mkdtempSync } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type {
  BrokerDocument,
  ChaosDocument,
  LoadDocument,
  StatusDocument,
  VerifyDocument,
} from '@thermomesh/contracts';
import { deriveToken, MeshError, subjects } from '@thermomesh/runtime';
import { actualDataDir, signalProcess, waitForEnd, type ProcessIdentity } from '@thermomesh/servers';
import type { SqlPool } from '@thermomesh/sql';
import { runChaos, type ChaosOptions } from './chaos/run.ts';
import { untilDrained } from './client/drained.ts';
import { judgeLoad, startLoad, type LoadOptions, type LoadVerdict, type RunningLoad } from './client/load.ts';
import { linksClient, type LinksClient } from './client/links.ts';
import { openMesh, readBroker, readCoordinator, readStatus, type Mesh } from './client/mesh.ts';
import { untilSettled } from './client/settled.ts';
import { until } from './client/until.ts';
import { downMesh } from './commands/down.ts';
import { readMeshConfig, type MeshConfig } from './config.ts';
import { holdRestart, releaseRestart } from './state/holds.ts';
import { layoutOf } from './state/layout.ts';
import { ensureSecret } from './state/secrets.ts';
import type { CoordinationSizes } from './state/ports.ts';
import { livingProcess, type ElectionStrategy } from './state/run-file.ts';
import { startDetached } from './supervisor/detach.ts';
import { openPool, verifyMesh } from './verdict/verify.ts';

export interface StartMeshOptions {
  /** Analytics nodes; 5 if left out. */
  nodes?: number;
  /** Simulated devices; none if left out. */
  fleetDevices?: number;
  /** Links of the nodes go through proxies; see {@link MeshHandle.links}. */
  proxied?: boolean;
  /** Redis, card processor, billing and checkout run too; false if left out: they cost seconds and memory. */
  payments?: boolean;
  /** How the nodes elect; `bully` if left out. With `zookeeper` one ZooKeeper server runs too, whatever the environment names. */
  election?: ElectionStrategy;
  /** ZooKeeper and Kafka run too; left out: neither, unless the election needs ZooKeeper. */
  coordination?: CoordinationSizes;
  /** Equalizer nodes; none if left out. With them ZooKeeper and Kafka run too. */
  equalizers?: number;
  /** By process name; names that begin with `CRASH_` reach the first start only. */
  env?: Record<string, Record<string, string>>;
  /** Given to every process. */
  environment?: Record<string, string>;
  /** A database of somebody else's; the mesh's own if left out, whatever the environment says. */
  databaseUrl?: string;
  /** A Redis of somebody else's; the mesh's own if left out, whatever the environment says. */
  redisUrl?: string;
  /** A state folder to use again (of {@link MeshHandle.home}); a new temporary one if left out. */
  home?: string;
}

/** A mesh that is up. All waits have deadlines and throw `mesh.timeout`. */
export interface MeshHandle {
  readonly mesh: Mesh;
  /** The folder that holds its state. */
  readonly home: string;
  readonly mqttUrl: string;
  readonly httpUrl: string;
  readonly databaseUrl: string;
  readonly secret: string;
  /** Connected to its database; closed by `remove` and `down`. */
  readonly sql: SqlPool;
  /** MQTT password of a device. */
  deviceToken(deviceId: string): string;
  /** Bearer token for every HTTP route. */
  readonly operatorToken: string;
  status(): Promise<StatusDocument>;
  broker(): Promise<BrokerDocument>;
  /** The coordinator now, waited for. @param aboveEpoch only one with a higher epoch */
  coordinator(aboveEpoch?: number): Promise<{ node: number; epoch: number }>;
  /** The process that has this name now (`postgres`, `gateway`, `node-1`, …), waited for. */
  process(name: string): Promise<ProcessIdentity>;
  /** Sends a signal to it; with SIGKILL returns when it has ended. Returns whom it hit. */
  kill(name: string, signal?: NodeJS.Signals): Promise<ProcessIdentity>;
  /** It is not started again until `release`. */
  hold(name: string): void;
  release(name: string): void;
  /** Waits until every process is ready and somebody coordinates. @param notThe a killed process that must have a successor */
  whole(notThe?: ProcessIdentity): Promise<StatusDocument>;
  /** Waits until all nodes see each other and follow the highest one: no move is left to come. */
  settled(): Promise<{ node: number; epoch: number }>;
  /** Waits until everything accepted so far is stored. */
  drained(timeoutMs?: number): Promise<void>;
  startLoad(options?: Partial<LoadOptions>): RunningLoad;
  judgeLoad(load: RunningLoad): Promise<LoadVerdict>;
  /** Sends a load, waits for it, and compares. */
  load(options?: Partial<LoadOptions>): Promise<LoadDocument>;
  chaos(options: Partial<ChaosOptions> & Pick<ChaosOptions, 'target'>): Promise<ChaosDocument>;
  verify(): Promise<VerifyDocument>;
  /** The proxies between its parts; only of a mesh that is `proxied`. */
  readonly links: LinksClient;
  /** The log of a process, as it is now. */
  logFile(name: string): string;
  /** Stops it; the state stays and `startMesh({ home })` continues it. Idempotent. */
  down(): Promise<void>;
  /** Stops it and removes its state. */
  remove(): Promise<void>;
}

const waitTimeoutMs = 60_000;
const zooKeeperAlone: CoordinationSizes = { zookeeper: 1, kafka: 0 };
const oneOfEach: CoordinationSizes = { zookeeper: 1, kafka: 1 };
const meshName = 'test';

/**
 * Starts a real mesh in the background and returns when it is ready.
 * @throws MeshError `mesh.start_failed` with the end of its log
 */
export async function startMesh(options: StartMeshOptions = {}): Promise<MeshHandle> {
  const home = options.home ?? mkdtempSync(path.join(os.tmpdir(), 'thermomesh-mesh-'));
  await chmod(home, 0o755);
  const base = readMeshConfig();
  const environment = { ...base.environment, ...options.environment };
  const config: MeshConfig = {
    ...base,
    home,
    databaseUrl: options.databaseUrl,
    redisUrl: options.redisUrl,
    zookeeperHosts: undefined,
    kafkaBrokers: undefined,
    environment,
  };
  const layout = layoutOf(home, meshName);
  ensureSecret(layout);
  const election = options.election ?? 'bully';
  try {
    await startDetached(config, layout, {
      name: meshName,
      nodes: options.nodes ?? 5,
      fleetDevices: options.fleetDevices ?? 0,
      proxied: options.proxied ?? false,
      payments: options.payments ?? false,
      coordination: options.coordination ?? coordinationFor(options.equalizers ?? 0, election),
      equalizers: options.equalizers ?? 0,
      election,
      extraEnv: options.env ?? {},
    });
  } catch (error) {
    await downMesh(config, meshName, () => undefined);
    // What somebody else has given stays theirs.
    if (options.home === undefined) await removeState(openMesh(config, meshName), home);
    throw error;
  }
  const handle = handleOf(openMesh(config, meshName), home);
  // What is late is not waited for by "mesh up", and a test has nothing to do without it.
  if ((options.equalizers ?? 0) > 0) await handle.whole();
  return handle;
}

function coordinationFor(equalizers: number, election: ElectionStrategy): CoordinationSizes | undefined {
  if (equalizers > 0) return oneOfEach;
  return election === 'zookeeper' ? zooKeeperAlone : undefined;
}

function handleOf(mesh: Mesh, home: string): MeshHandle {
  const run = mesh.run();
  if (run?.databaseUrl === undefined || run.databaseUrl === null)
    throw new MeshError('mesh.start_failed', 'the mesh has no database');
  const sql = openPool(mesh);
  let closed: Promise<void> | undefined;
  const find = async (name: string) => {
    const record = mesh.run()?.processes.find((process) => process.name === name);
    return record === undefined ? undefined : livingProcess(record);
  };
  const wait = (what: string, timeoutMs = waitTimeoutMs) => ({ what, timeoutMs });
  const handle: MeshHandle = {
    mesh,
    home,
    mqttUrl: run.mqttUrl,
    httpUrl: run.httpUrl,
    databaseUrl: run.databaseUrl,
    secret: mesh.secret,
    sql,
    operatorToken: deriveToken(mesh.secret, subjects.operator),
    deviceToken: (deviceId) => deriveToken(mesh.secret, subjects.device(deviceId)),
    status: async () => readStatus(mesh),
    broker: async () => until(wait('the gateway'), async () => readBroker(mesh)),
    coordinator: async (aboveEpoch = 0) =>
      until(wait(`a coordinator with an epoch above ${aboveEpoch}`), async () => {
        const found = await readCoordinator(mesh);
        return found !== null && found.epoch > aboveEpoch ? found : undefined;
      }),
    process: async (name) => until(wait(`process ${name}`), async () => find(name)),
    async kill(name, signal = 'SIGKILL') {
      const target = await handle.process(name);
      await signalProcess(target, signal);
      if (signal === 'SIGKILL' && !(await waitForEnd(target, waitTimeoutMs)))
        throw new MeshError('mesh.timeout', `${name} does not end`);
      return target;
    },
    hold: (name) => holdRestart(mesh.layout, name),
    release: (name) => releaseRestart(mesh.layout, name),
    whole: async (notThe) => untilWhole(mesh, notThe),
    settled: async () => untilSettled(mesh, waitTimeoutMs),
    drained: async (timeoutMs = waitTimeoutMs) => untilDrained(mesh, { timeoutMs }),
    startLoad: (options = {}) =>
      startLoad(mesh, { devices: 10, rate: 200, seconds: 5, qos: 1, more: {}, ...options }),
    judgeLoad: async (load) => judgeLoad(mesh, await load.finished, waitTimeoutMs),
    load: async (options) => (await handle.judgeLoad(handle.startLoad(options))).document,
    chaos: async (options) => runChaos(mesh, { ...chaosDefaults, ...options }),
    verify: async () => (await verifyMesh(mesh, { timeoutMs: waitTimeoutMs })).document,
    links: linksClient(mesh),
    logFile: (name) => mesh.layout.logFile(name),
    async down() {
      closed ??= sql.close();
      await closed;
      await downMesh(mesh.config, mesh.name, () => undefined);
    },
    async remove() {
      await handle.down();
      await removeState(mesh, home);
    },
  };
  return handle;
}

async function untilWhole(mesh: Mesh, notThe: ProcessIdentity | undefined): Promise<StatusDocument> {
  return until({ what: 'the mesh to be whole', timeoutMs: waitTimeoutMs }, async () => {
    const { processes } = mesh.run() ?? { processes: [] };
    const same = processes.some(
      ({ pid, startTime }) => pid === notThe?.pid && startTime === notThe?.startTime,
    );
    if (notThe !== undefined && same) return undefined;
    const status = await readStatus(mesh);
    return status.ready ? status : undefined;
  });
}

async function removeState(mesh: Mesh, home: string): Promise<void> {
  const dataDir = actualDataDir(mesh.layout.postgresDir);
  if (!dataDir.startsWith(home)) await rm(path.dirname(dataDir), { recursive: true, force: true });
  await rm(home, { recursive: true, force: true });
}

const chaosDefaults = {
  signal: 'KILL',
  pauseMs: undefined,
  times: 1,
  everyMs: 0,
  load: undefined,
  recoveryTimeoutMs: waitTimeoutMs,
  drainTimeoutMs: waitTimeoutMs,
  onProgress: () => undefined,
} as const;
