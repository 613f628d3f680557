/**
 * The payment part of the mesh: Redis, the card processor, the replicas of billing, and the
 * settings of the gateway's checkout.
 */
import { startRedis } from '@thermomesh/servers';
import { meshError } from '../../errors.ts';
import { ensureSecretFile } from '../../mesh/files/secrets.ts';
import { servicesPath } from '../../mesh/files/znodes.ts';
import { host, launchService, runMigrations, type PlanOptions } from './launching.ts';
import type { ProcessSpec } from './spec.ts';
import type { Stage } from './supervisor.ts';

/** Number of replicas on one database; all of them are equal. */
export const billingReplicas = 2;

/**
 * The local mesh is loaded and broken by one customer at one address, and a checkout that was
 * delayed by an outage must become final soon after it.
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
 * Less than the gateway's CHECKOUT_CALL_TIMEOUT_MS: billing must answer 409 before the gateway
 * hangs up, or the gateway's circuit breakers take replicas that wait for the processor as dead.
 */
const billingSettings = { ANSWER_WAIT_MS: '3000' };

export interface PaymentsPlan {
  /** Redis, unless an external one is used. */
  redis: Stage;
  /** The card processor and billing, once the tables of billing exist. */
  billing: Stage;
  /** Null until Redis has started once, or if it is not available. */
  redisUrl(): string | null;
  /**
   * The variables for the gateway at its next start; empty without Redis, so that it runs without
   * checkout.
   */
  checkoutEnv(): Record<string, string>;
}

/** The servers that payments need; their addresses are known when they start. */
export interface PaymentServers {
  databaseUrl: () => string;
  /** Null if the addresses of billing are static. */
  zookeeperHosts: () => string | null;
}

export function planPayments(options: PlanOptions, servers: PaymentServers): PaymentsPlan {
  const { databaseUrl } = servers;
  const { config, layout, ports } = options;
  if (ports.payments === undefined) throw meshError('mesh.start_failed', 'no ports were chosen for payments');
  const { redis, processor, billing } = ports.payments;
  const urls = billing.map((port) => `http://${host}:${port}`);
  const own = config.redisUrl === undefined;
  const password = own ? ensureSecretFile(layout, layout.redisPasswordFile) : '';
  // Known before the server runs, so the gateway need not wait for it.
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
            // Meshes that share a Redis keep their queues apart.
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
    // A server that is not available now will not be available a moment later.
    firstStartsMax: 1,
    async launch(start) {
      const say = (line: string) => start === 1 && notice(line);
      try {
        const { redisDir: dataDir } = layout;
        const server = await startRedis({
          dataDir,
          port,
          password,
          logFile,
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
