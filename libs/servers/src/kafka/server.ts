/** Starts and stops single Kafka brokers in ZooKeeper mode (docs/adr/0011). */
import { writeFileSync } from 'node:fs';
import { defineServer } from '../define-server.ts';
import { findJavaServers, type JavaServers } from '../java/jars.ts';
import { javaArguments, javaEnvironment } from '../java/arguments.ts';
import type { RunningServer, ServerOptions } from '../launch.ts';
import type { ProcessIdentity } from '../processes.ts';
import { probeKafka, type KafkaState } from './probe.ts';
import { kafkaSettings } from './settings.ts';

export interface KafkaOptions extends ServerOptions {
  /** Unique in the cluster, and the same at each start on the same data. */
  id?: number;
  /** `host:port,…`, followed by a path if the cluster does not own the whole tree. */
  zookeeperHosts: string;
  /** Size of the cluster, which decides on the number of copies ({@link kafkaSettings}). */
  brokers?: number;
  heapMb?: number;
  /** Lines of `server.properties` that override {@link kafkaSettings}. */
  settings?: Record<string, string>;
}

/** A running broker. */
export interface KafkaServer extends RunningServer {
  id: number;
  /** The address that clients take: `127.0.0.1:port`. */
  host: string;
  /** The broker's view of its cluster; undefined while it does not serve clients. */
  state(): Promise<KafkaState | undefined>;
}

const heapDefaultMb = 192;
const startTimeoutDefaultMs = 90_000;
const probeTimeoutMs = 2_000;

const kafka = defineServer<KafkaOptions, JavaServers, KafkaServer>({
  kind: 'kafka',
  name: 'Kafka',
  startTimeoutDefaultMs,
  configFile: configFileOf,
  find: findJavaServers,
  command(java, options, port) {
    const { dataDir, id = 1 } = options;
    writeFileSync(configFileOf(dataDir), configuration(options, id, port));
    const state = async () => probeKafka(port, probeTimeoutMs);
    return {
      program: java.runtime.java,
      args: javaArguments(java, {
        heapMb: options.heapMb ?? heapDefaultMb,
        scratchDir: `${dataDir}.tmp`,
        mainClass: 'kafka.Kafka',
        args: [configFileOf(dataDir)],
      }),
      env: javaEnvironment(java),
      isReady: async () => {
        const known = await state();
        return known !== undefined && known.controllerId >= 0 && known.brokerIds.includes(id);
      },
      version: java.kafkaVersion,
      extra: { id, host: `127.0.0.1:${port}`, state },
    };
  },
  startAgain: {
    log: /NodeExists/,
    notice: 'Kafka: ZooKeeper still has the session of the killed broker, trying again',
  },
  retriableLog: /ZooKeeperClientTimeoutException/,
});

/**
 * Starts a broker on `dataDir` and returns when it serves clients and knows a controller. A broker
 * that is started at once after a kill -9 finds its former session still registered and ends; it
 * is started again until ZooKeeper has ended that session.
 * @throws MeshError `java.absent`, `java.jars_absent`, `kafka.already_running`,
 *   `kafka.start_failed`
 */
export async function startKafka(options: KafkaOptions): Promise<KafkaServer> {
  return kafka.start(options);
}

/**
 * Stops the broker that runs on `dataDir`, no matter which process started it.
 * @returns false if none runs there
 */
export async function stopKafka(dataDir: string): Promise<boolean> {
  return kafka.stop(dataDir);
}

/** The broker process that runs on `dataDir`; undefined if there is none. */
export async function findRunningKafka(dataDir: string): Promise<ProcessIdentity | undefined> {
  return kafka.findRunning(dataDir);
}

function configuration(options: KafkaOptions, id: number, port: number): string {
  const listener = `PLAINTEXT://127.0.0.1:${port}`;
  const all = {
    ...kafkaSettings(options.brokers ?? 1),
    // With a proxy in front of the broker, `settings` names the proxy here.
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
