/** A real mesh for a test, with a folder and ports of its own; all of it is removed afterwards. */
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
import { deriveToken, subjects } from '@thermomesh/runtime';
import { actualDataDir, signalProcess, waitForEnd, type ProcessIdentity } from '@thermomesh/servers';
import type { SqlPool } from '@thermomesh/sql';
import type { ChaosOptions } from '../chaos/runner/options.ts';
import { runChaos } from '../chaos/runner/run.ts';
import { readMeshConfig, type ElectionStrategy, type MeshConfig } from '../config.ts';
import { meshError } from '../errors.ts';
import { downMesh } from '../local/down.ts';
import { holdRestart, releaseRestart } from '../local/state/holds.ts';
import type { CoordinationSizes } from '../local/state/ports.ts';
import type { ServerKind } from '../local/state/servers.ts';
import { startDetached } from '../local/supervisor/detach.ts';
import { openPool } from '../mesh/database.ts';
import { untilDrained } from '../mesh/drained.ts';
import { layoutOf } from '../mesh/files/layout.ts';
import { livingProcess } from '../mesh/files/run-file.ts';
import { ensureSecret } from '../mesh/files/secrets.ts';
import { linksClient, type LinksClient } from '../mesh/links.ts';
import { openLocalMesh, type Mesh } from '../mesh/mesh.ts';
import { untilSettled } from '../mesh/settled.ts';
import { readBroker, readCoordinator, readStatus } from '../mesh/status.ts';
import { until } from '../mesh/until.ts';
import { judgeLoad, type LoadVerdict } from '../verdict/load.ts';
import { verifyMesh } from '../verdict/verify.ts';
import { startLoad, type LoadOptions, type RunningLoad } from '../workloads/readings/load.ts';

export interface StartMeshOptions {
  /** Number of analytics nodes. Default 5. */
  nodes?: number;
  /** Number of simulated devices. Default 0. */
  fleetDevices?: number;
  /** Puts proxies between the nodes; see {@link MeshHandle.links}. */
  proxied?: boolean;
  /**
   * Runs Redis, card processor, billing and checkout too. Default false, because they cost seconds
   * and memory.
   */
  payments?: boolean;
  /**
   * Election strategy of the nodes. Default `bully`. With `zookeeper` the mesh runs one ZooKeeper
   * server, even if the environment names another one.
   */
  election?: ElectionStrategy;
  /**
   * Numbers of ZooKeeper servers and Kafka brokers. Default: none, unless the election needs
   * ZooKeeper.
   */
  coordination?: CoordinationSizes;
  /** Number of equalizer nodes. Default 0. With them ZooKeeper and Kafka run too. */
  equalizers?: number;
  /**
   * Variables by process name; those whose name begins with `CRASH_` are set for the first start
   * only.
   */
  env?: Record<string, Record<string, string>>;
  /** Variables of every process. */
  environment?: Record<string, string>;
  /** An external database. By default the mesh runs its own, even if the environment names one. */
  databaseUrl?: string;
  /** Servers that this start adopts in place of those that the mesh has worked with. */
  adopt?: readonly ServerKind[];
  /** An external Redis. By default the mesh runs its own, even if the environment names one. */
  redisUrl?: string;
  /**
   * The state folder of an earlier mesh ({@link MeshHandle.home}). Default: a new temporary folder.
   */
  home?: string;
}

/** A mesh that is up. All waits have deadlines and throw `mesh.timeout`. */
export interface MeshHandle {
  readonly mesh: Mesh;
  /** The folder that contains its state. */
  readonly home: string;
  readonly mqttUrl: string;
  readonly httpUrl: string;
  readonly databaseUrl: string;
  readonly secret: string;
  /** A pool on its database; `remove` and `down` close it. */
  readonly sql: SqlPool;
  /** The MQTT password of a device. */
  deviceToken(deviceId: string): string;
  /** A bearer token for every HTTP route. */
  readonly operatorToken: string;
  status(): Promise<StatusDocument>;
  broker(): Promise<BrokerDocument>;
  /**
   * Waits for a coordinator.
   * @param aboveEpoch accepts only a coordinator with a higher epoch
   */
  coordinator(aboveEpoch?: number): Promise<{ node: number; epoch: number }>;
  /** Waits for the process that has this name now (`postgres`, `gateway`, `node-1`, …). */
  process(name: string): Promise<ProcessIdentity>;
  /**
   * Sends a signal to the process and resolves with its identity; with SIGKILL, once it has ended.
   */
  kill(name: string, signal?: NodeJS.Signals): Promise<ProcessIdentity>;
  /** Keeps the process from being restarted until `release`. */
  hold(name: string): void;
  release(name: string): void;
  /**
   * Waits until every process is ready and a coordinator is elected.
   * @param notThe a killed process, which must have a successor
   */
  whole(notThe?: ProcessIdentity): Promise<StatusDocument>;
  /**
   * Waits until all nodes see each other and follow the highest one, so that no change is left to
   * come.
   */
  settled(): Promise<{ node: number; epoch: number }>;
  /** Waits until everything that was accepted so far is stored. */
  drained(timeoutMs?: number): Promise<void>;
  startLoad(options?: Partial<LoadOptions>): RunningLoad;
  judgeLoad(load: RunningLoad): Promise<LoadVerdict>;
  /** Sends a load, waits until it is drained, and compares its ledger with SQL. */
  load(options?: Partial<LoadOptions>): Promise<LoadDocument>;
  chaos(options: Partial<ChaosOptions> & Pick<ChaosOptions, 'target'>): Promise<ChaosDocument>;
  verify(): Promise<VerifyDocument>;
  /** The proxies between its parts; only in a `proxied` mesh. */
  readonly links: LinksClient;
  /** The log file of a process. */
  logFile(name: string): string;
  /** Stops the mesh; the state stays, and `startMesh({ home })` continues it. Idempotent. */
  down(): Promise<void>;
  /** Stops the mesh and removes its state. */
  remove(): Promise<void>;
}

const waitTimeoutMs = 60_000;
const zooKeeperAlone: CoordinationSizes = { zookeeper: 1, kafka: 0 };
const oneOfEach: CoordinationSizes = { zookeeper: 1, kafka: 1 };
const meshName = 'test';

/**
 * Starts a real mesh in the background and resolves when it is ready.
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
      adopt: options.adopt,
    });
  } catch (error) {
    await downMesh(config, meshName, () => undefined);
    // A folder that the caller has given is not removed.
    if (options.home === undefined) await removeState(openLocalMesh(config, meshName), home);
    throw error;
  }
  const handle = handleOf(openLocalMesh(config, meshName), home);
  // "mesh up" does not wait for late parts, but a test needs them.
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
    throw meshError('mesh.start_failed', 'the mesh has no database');
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
    process: async (name) => until(wait(`the process ${name}`), async () => find(name)),
    async kill(name, signal = 'SIGKILL') {
      const target = await handle.process(name);
      await signalProcess(target, signal);
      if (signal === 'SIGKILL' && !(await waitForEnd(target, waitTimeoutMs)))
        throw meshError('mesh.timeout', `${name} does not end`);
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
