/** One Kafka broker of our own, in ZooKeeper mode (docs/adr/0011). */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';
import { findJavaServers, type JavaServers } from '../java/jars.ts';
import { javaEnvironment, javaWords } from '../java/words.ts';
import {
  clearTheWay,
  findRunning,
  launch,
  runningServer,
  shutDown,
  type LaunchFailure,
  type RunningServer,
  type ServerOptions,
} from '../launch.ts';
import { freeLastingPort } from '../ports.ts';
import type { ProcessIdentity } from '../processes.ts';
import { probeKafka, type KafkaState } from './probe.ts';
import { kafkaSettings } from './settings.ts';

export interface KafkaOptions extends ServerOptions {
  /** Unique in the cluster, the same at each start on the same data. */
  id?: number;
  /** `host:port,…`, with a path at the end if the cluster does not own the whole tree. */
  zookeeperHosts: string;
  /** How many brokers the cluster has: decides on copies ({@link kafkaSettings}). */
  brokers?: number;
  heapMb?: number;
  /** Lines of `server.properties` over {@link kafkaSettings}. */
  settings?: Record<string, string>;
}

/** A broker that runs. */
export interface KafkaServer extends RunningServer {
  id: number;
  /** `127.0.0.1:port`, as clients take it. */
  host: string;
  /** What it knows of its cluster; undefined while it serves nobody. */
  state(): Promise<KafkaState | undefined>;
}

const heapDefaultMb = 192;
const startTimeoutDefaultMs = 90_000;
const probeTimeoutMs = 2_000;
const retryIntervalMs = 250;
const about = { code: 'kafka', name: 'Kafka' };

/**
 * Starts a broker on `dataDir` and returns when it serves clients and knows a controller. Killed with -9 and started again at once, it
 * finds its own former session still registered; it is started again until ZooKeeper has ended that one.
 * @throws MeshError `java.absent`, `java.jars_absent`, `kafka.already_running`, `kafka.start_failed`
 */
export async function startKafka(options: KafkaOptions): Promise<KafkaServer> {
  const dataDir = path.resolve(options.dataDir);
  const { onNotice, toolsDir } = options;
  const java = await findJavaServers({
    ...(toolsDir === undefined ? {} : { toolsDir }),
    ...(onNotice === undefined ? {} : { onNotice }),
  });
  await clearTheWay(await findRunningKafka(dataDir), {
    ...about,
    replaceRunning: options.replaceRunning ?? false,
    dataDir,
  });
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const wanted = options.port ?? 0;
  const deadline = Date.now() + (options.startTimeoutMs ?? startTimeoutDefaultMs);
  let told = false;
  for (;;) {
    const port = wanted === 0 ? await freeLastingPort() : wanted;
    const outcome = await tryPort(java, { ...options, dataDir }, port, deadline - Date.now());
    if (!('reason' in outcome)) return outcome;
    const portTaken = wanted === 0 && /Address already in use/.test(outcome.log);
    const lingering = /NodeExists/.test(outcome.log);
    if ((!portTaken && !lingering) || Date.now() > deadline) {
      throw new MeshError('kafka.start_failed', `Kafka did not start on port ${port}: ${outcome.reason}`, {
        retriable: /ZooKeeperClientTimeoutException/.test(outcome.log),
      });
    }
    if (lingering && !told)
      onNotice?.('Kafka: ZooKeeper still has the session of the killed broker, trying again');
    told ||= lingering;
    await delay(retryIntervalMs);
  }
}

/**
 * Stops the broker that runs on `dataDir`, whoever started it.
 * @returns false if none runs there
 */
export async function stopKafka(dataDir: string): Promise<boolean> {
  const running = await findRunningKafka(dataDir);
  if (running === undefined) return false;
  await shutDown(running, ['SIGTERM', 'SIGKILL'], about);
  return true;
}

/** Which broker runs on `dataDir`, if any. */
export async function findRunningKafka(dataDir: string): Promise<ProcessIdentity | undefined> {
  const folder = path.resolve(dataDir);
  return findRunning(`${folder}.pid`, configFileOf(folder));
}

async function tryPort(
  java: JavaServers,
  options: KafkaOptions,
  port: number,
  timeoutMs: number,
): Promise<KafkaServer | LaunchFailure> {
  const { dataDir } = options;
  const id = options.id ?? 1;
  const logFile = path.resolve(options.logFile ?? `${dataDir}.log`);
  const pidFile = `${dataDir}.pid`;
  writeFileSync(configFileOf(dataDir), configuration(options, id, port));
  const state = async () => probeKafka(port, probeTimeoutMs);
  const result = await launch({
    name: about.name,
    program: java.runtime.java,
    words: javaWords(java, {
      heapMb: options.heapMb ?? heapDefaultMb,
      scratchDir: `${dataDir}.tmp`,
      mainClass: 'kafka.Kafka',
      words: [configFileOf(dataDir)],
    }),
    env: javaEnvironment(java),
    cwd: dataDir,
    logFile,
    pidFile,
    endWithParent: options.endWithParent ?? false,
    scratchFolder: options.scratchFolder,
    isReady: async () => {
      const known = await state();
      return known !== undefined && known.controllerId >= 0 && known.brokerIds.includes(id);
    },
    timeoutMs,
  });
  if ('reason' in result) return result;
  return {
    ...(await runningServer(result.child, { ...about, pidFile, logFile })),
    id,
    host: `127.0.0.1:${port}`,
    port,
    dataDir,
    logFile,
    version: java.kafkaVersion,
    state,
  };
}

function configuration(options: KafkaOptions, id: number, port: number): string {
  const listener = `PLAINTEXT://127.0.0.1:${port}`;
  const all = {
    ...kafkaSettings(options.brokers ?? 1),
    // A proxy in front of the broker would be named here instead.
    'advertised.listeners': listener,
    ...options.settings,
    'broker.id': String(id),
    listeners: listener,
    'zookeeper.connect': options.zookeeperHosts,
    'log.dirs': options.dataDir,
  };
  return Object.entries(all)
    .map(([name, value]) => `${name}=${value.replaceAll('\\', '\\\\')}\n`)
    .join('');
}

function configFileOf(dataDir: string): string {
  return `${dataDir}.properties`;
}
