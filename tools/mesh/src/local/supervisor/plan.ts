/** The plan of a mesh: its processes, their order, and the settings of each. */
import path from 'node:path';
import { startPostgres } from '@thermomesh/servers';
import type { Layout } from '../../mesh/files/layout.ts';
import { analyticsPath, servicesPath } from '../../mesh/files/znodes.ts';
import { controlName } from '../links/names.ts';
import { linkPort, linkSpecs, nodeAddresses, type TrueAddresses } from './addresses.ts';
import { admitDatabase, adoptionEnv, checkDatabase } from './admit-database.ts';
import { launchNode } from './child.ts';
import { planCoordination, zooKeeperAddresses } from './coordination-plan.ts';
import { planImages, type ImagesPlan } from './images-plan.ts';
import { environmentOf, host, launchService, type PlanOptions } from './launching.ts';
import { planPayments, type PaymentsPlan } from './payments-plan.ts';
import type { ProcessSpec } from './spec.ts';
import type { Stage } from './supervisor.ts';

export type { PlanOptions } from './launching.ts';

export interface MeshPlan {
  /**
   * Refuses external servers that do not belong to this mesh, before anything is started.
   * @throws MeshError `mesh.other_server`
   */
  check(): Promise<void>;
  stages: Stage[];
  mqttUrl: string;
  httpUrl: string;
  /** Null until PostgreSQL has started once. */
  databaseUrl(): string | null;
  /** Null without payments, until Redis has started once, or if it is not available. */
  redisUrl(): string | null;
  /**
   * Null without coordination, until ZooKeeper has served once, or if it is not available; likewise
   * for Kafka.
   */
  zookeeperHosts(): string | null;
  kafkaBrokers(): string | null;
  /** Names of all processes. */
  names: string[];
}

const fleetStopTimeoutMs = 8_000;
/** Settings of the mesh's own server. Nodes, billing, checkout and tools have a pool each. */
const postgresSettings = { max_connections: '120' };

/** Addresses that several processes need. */
interface Urls {
  mqtt: string;
  http: string;
  nodes: string[];
}

/** Plans the mesh; this starts nothing. */
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
  const { coordination: sizes } = options;
  const coordination = sizes === undefined ? undefined : planCoordination(options, sizes);
  const addressed = () => coordination?.zookeeperAddress() ?? null;
  const servers = { databaseUrl: () => databaseUrl ?? '', zookeeperHosts: addressed };
  const payments = options.payments ? planPayments(options, servers) : undefined;
  const images =
    coordination === undefined || (options.equalizers ?? 0) === 0
      ? undefined
      : planImages(options, { ...coordination, zookeeperHosts: addressed });
  const discovery = () => {
    const hosts = addressed();
    return hosts === null ? {} : { ZOOKEEPER_HOSTS: hosts, SERVICES_PATH: servicesPath(options.name) };
  };
  const stages: Stage[] = [
    ...(coordination?.stages ?? []),
    ...(payments === undefined ? [] : [payments.redis]),
    {
      specs: options.proxied ? [...own, linksSpec(options)] : own,
      after: async () => admitDatabase(options, databaseUrl ?? ''),
    },
    // They come before the gateway so that they end after it; the gateway does not wait for them.
    ...(payments === undefined ? [] : [payments.billing]),
    ...(images === undefined ? [] : [images.stage]),
    { specs: [gatewaySpec(options, urls, { payments, images, discovery })] },
    {
      specs: ports.nodes.map((port, index) =>
        nodeSpec(options, urls, index + 1, port, () => ({
          database: databaseUrl ?? '',
          zookeeper: addressed() === null ? [] : zooKeeperAddresses(options),
        })),
      ),
    },
  ];
  if (options.fleetDevices > 0) stages.push({ specs: [fleetSpec(options, urls)] });
  return {
    check: async () => {
      if (config.databaseUrl !== undefined) await checkDatabase(options, config.databaseUrl);
    },
    stages,
    mqttUrl: urls.mqtt,
    httpUrl: urls.http,
    databaseUrl: () => databaseUrl,
    redisUrl: () => payments?.redisUrl() ?? null,
    zookeeperHosts: () => coordination?.zookeeperHosts() ?? null,
    kafkaBrokers: () => coordination?.kafkaBrokers() ?? null,
    names: stages.flatMap(({ specs }) => specs.map(({ name }) => name)),
  };
}

/** The parts that the gateway calls besides the drain. */
interface GatewayParts {
  payments: PaymentsPlan | undefined;
  images: ImagesPlan | undefined;
  /** The variables for finding services; empty without ZooKeeper. */
  discovery: () => Record<string, string>;
}

function gatewaySpec(
  options: PlanOptions,
  urls: Urls,
  { payments, images, discovery }: GatewayParts,
): ProcessSpec {
  const { layout, ports } = options;
  const own = () => ({
    ...commonEnv(layout),
    DATA_DIR: layout.gatewayDir,
    MQTT_HOST: host,
    MQTT_PORT: String(ports.mqtt),
    HTTP_PORT: String(ports.http),
    ...payments?.checkoutEnv(),
    ...images?.gatewayEnv(),
    // The nodes that the gateway asks until some have registered.
    ANALYTICS_URLS: urls.nodes.join(','),
    ...discovery(),
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
  servers: () => Pick<TrueAddresses, 'database' | 'zookeeper'>,
): ProcessSpec {
  const { layout } = options;
  const name = `node-${id}`;
  const url = `http://${host}:${port}`;
  const own = () => {
    const { database, zookeeper } = servers();
    const addresses = { ...urls, database, zookeeper };
    return {
      ...commonEnv(layout),
      NODE_ID: String(id),
      ...nodeAddresses(options, id, addresses),
      HTTP_PORT: String(port),
      ELECTION: options.election ?? 'bully',
      ...adoptionEnv(layout),
      ...(zookeeper.length === 0
        ? {}
        : { ZOOKEEPER_PATH: analyticsPath(options.name), SERVICES_PATH: servicesPath(options.name) }),
    };
  };
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
    LINKS: JSON.stringify(
      linkSpecs(ports, {
        foreignDatabase: config.databaseUrl,
        zookeeper: zooKeeperAddresses(options),
      }),
    ),
  });
  return {
    name: 'links',
    role: 'links',
    url,
    ports: { http: control },
    logFile: layout.logFile('links'),
    launch: async (start) =>
      launchService(options, 'links', 'tools/mesh/src/local/links/main.ts', url, start, own()),
  };
}

function commonEnv(layout: Layout): Record<string, string> {
  return { MESH_SECRET_FILE: layout.secretFile, API_KEYS_FILE: layout.apiKeysFile, HTTP_HOST: host };
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
        settings: postgresSettings,
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
    '--ledger',
    layout.ledgersDir,
    '--ledger-bytes-max',
    String(config.fleetLedgerBytesMax),
    '--name',
    options.name,
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
