/** The payment part of the mesh: Redis, the card processor, the replicas of billing, and what makes the gateway's checkout work. */
import { MeshError } from '@thermomesh/runtime';
import { startRedis } from '@thermomesh/servers';
import { ensureSecretFile } from '../state/secrets.ts';
import { servicesPath } from '../state/znodes.ts';
import { host, launchService, runMigrations, type PlanOptions } from './launching.ts';
import type { ProcessSpec } from './spec.ts';
import type { Stage } from './supervisor.ts';

/** Replicas on one database; none is special. */
export const billingReplicas = 2;

/**
 * The local mesh is there to be loaded and broken by one customer at one address, and what hung while a part was gone shall be
 * final soon after it is back.
 */
const checkoutSettings = {
  CHECKOUT_REQUESTS_PER_MINUTE_MAX: '1000000',
  CHECKOUT_ADDRESS_REQUESTS_PER_MINUTE_MAX: '1000000',
  CHECKOUT_BACKOFF_MAX_MS: '1000',
  CHECKOUT_CALL_TIMEOUT_MS: '4000',
  CHECKOUT_LOCK_MS: '2000',
  CHECKOUT_STALLED_INTERVAL_MS: '1000',
};

/**
 * Below the gateway's CHECKOUT_CALL_TIMEOUT_MS: billing shall say 409 before the gateway hangs up, or its breakers take replicas that
 * wait for the processor for dead ones.
 */
const billingSettings = { ANSWER_WAIT_MS: '3000' };

export interface PaymentsPlan {
  /** Redis, unless somebody else runs it. */
  redis: Stage;
  /** The card processor and billing, when their tables are there. */
  billing: Stage;
  /** Null until Redis has started for the first time, and if it cannot be had. */
  redisUrl(): string | null;
  /** What the gateway is told at its next start; nothing if there is no Redis: it runs without checkout then. */
  checkoutEnv(): Record<string, string>;
}

/** What payments stand on; known when they start. */
export interface PaymentServers {
  databaseUrl: () => string;
  /** Null: the addresses of billing are static. */
  zookeeperHosts: () => string | null;
}

export function planPayments(options: PlanOptions, servers: PaymentServers): PaymentsPlan {
  const { databaseUrl } = servers;
  const { config, layout, ports } = options;
  if (ports.payments === undefined)
    throw new MeshError('mesh.start_failed', 'no ports were chosen for payments');
  const { redis, processor, billing } = ports.payments;
  const urls = billing.map((port) => `http://${host}:${port}`);
  const own = config.redisUrl === undefined;
  const password = own ? ensureSecretFile(layout, layout.redisPasswordFile) : '';
  // Known before the server runs: the gateway need not wait for it.
  const wanted = config.redisUrl ?? `redis://:${password}@${host}:${redis}/0`;
  let state: 'starting' | 'up' | 'absent' = own ? 'starting' : 'up';
  const processorUrl = `http://${host}:${processor}`;
  const spec = redisSpec(options, redis, password, (up) => (state = up ? 'up' : 'absent'));
  return {
    redis: { specs: own ? [spec] : [], part: 'checkout' },
    billing: {
      part: 'payments',
      before: async () => {
        await runMigrations(options, 'billing', databaseUrl());
        await runMigrations(options, 'gateway', databaseUrl());
      },
      specs: [
        processorSpec(options, processor, processorUrl),
        ...billing.map((port, index) => billingSpec(options, index + 1, port, processorUrl, servers)),
      ],
    },
    redisUrl: () => (state === 'up' ? wanted : null),
    checkoutEnv: () =>
      state === 'absent'
        ? {}
        : {
            DATABASE_URL: databaseUrl(),
            REDIS_URL: wanted,
            BILLING_URLS: urls.join(','),
            CHECKOUT_SECRET_FILE: layout.checkoutSecretFile,
            // A Redis that several meshes share keeps their queues apart.
            CHECKOUT_QUEUE: `checkouts-${options.name}`,
            ...discoveryEnv(options, servers),
            ...checkoutSettings,
          },
  };
}

function discoveryEnv({ name }: PlanOptions, { zookeeperHosts }: PaymentServers): Record<string, string> {
  const hosts = zookeeperHosts();
  return hosts === null ? {} : { ZOOKEEPER_HOSTS: hosts, SERVICES_PATH: servicesPath(name) };
}

function redisSpec(
  { layout, notice }: PlanOptions,
  port: number,
  password: string,
  onOutcome: (up: boolean) => void,
): ProcessSpec {
  const logFile = layout.logFile('redis');
  return {
    name: 'redis',
    role: 'redis',
    url: `redis://${host}:${port}`,
    ports: { redis: port },
    logFile,
    // What cannot be found or fetched now will not be there a moment later.
    firstStartsMax: 1,
    async launch(start) {
      const say = (line: string) => start === 1 && notice(line);
      try {
        const { redisDir: dataDir } = layout;
        const server = await startRedis({
          ...{ dataDir, port, password, logFile },
          replaceRunning: true,
          onNotice: say,
        });
        onOutcome(true);
        return { ...server, ready: Promise.resolve(), stop: async () => server.stop() };
      } catch (error) {
        if (start === 1) onOutcome(false);
        throw error;
      }
    },
  };
}

function processorSpec(options: PlanOptions, port: number, url: string): ProcessSpec {
  const { layout } = options;
  const own = {
    DATA_DIR: layout.processorDir,
    PROCESSOR_SECRET_FILE: layout.processorSecretFile,
    HTTP_HOST: host,
    HTTP_PORT: String(port),
  };
  const script = 'apps/card-processor/src/main.ts';
  return {
    name: 'card-processor',
    role: 'card-processor',
    url,
    ports: { http: port },
    logFile: layout.logFile('card-processor'),
    launch: async (start) => launchService(options, 'card-processor', script, url, start, own),
  };
}

function billingSpec(
  options: PlanOptions,
  replica: number,
  port: number,
  processorUrl: string,
  servers: PaymentServers,
): ProcessSpec {
  const { layout } = options;
  const name = `billing-${replica}`;
  const url = `http://${host}:${port}`;
  const own = () => ({
    REPLICA: name,
    MESH_SECRET_FILE: layout.secretFile,
    BILLING_SECRET_FILE: layout.billingSecretFile,
    PROCESSOR_SECRET_FILE: layout.processorSecretFile,
    PROCESSOR_URL: processorUrl,
    DATABASE_URL: servers.databaseUrl(),
    ...discoveryEnv(options, servers),
    HTTP_HOST: host,
    HTTP_PORT: String(port),
    ...billingSettings,
  });
  return {
    name,
    role: 'billing',
    url,
    ports: { http: port },
    logFile: layout.logFile(name),
    launch: async (start) => launchService(options, name, 'services/billing/src/main.ts', url, start, own()),
  };
}
