/**
 * Starts a gateway with checkout for one test file, in front of the billing of
 * `billing-support.ts`. All parts are real processes.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isDocument, CheckoutAccepted, CheckoutView } from '@thermomesh/contracts';
import { startLossyProxy, type Loss, type LossyProxy } from '@thermomesh/links';
import { until } from '@thermomesh/mesh/testing';
import { createApiKey, deriveToken, subjects, type ApiScope, type CrashPoint } from '@thermomesh/runtime';
import { freeLastingPort, testRedis, type TestRedis } from '@thermomesh/servers';
import mqtt from 'mqtt';
import { Redis } from 'ioredis';
import { order, secret, startBilling, type Billing } from './billing-support.ts';
import { managedProcess, migrate, type ManagedProcess } from './process-support.ts';
import { crashAt, untilHit, waitMs } from './support.ts';

/** What one call resulted in; status 0 if it got no answer. */
export interface Answer {
  status: number;
  text: string;
  headers: Headers;
  body: Record<string, unknown>;
}

/**
 * A gateway process. Its ports and folder stay the same across restarts; it logs at level trace.
 */
export interface Gateway extends ManagedProcess {
  readonly url: string;
  readonly httpPort: number;
  /** Publishes a reading at QoS 1; resolves with its PUBACK. */
  publish(): Promise<void>;
}

/** The processes of one test file. */
export interface Mesh {
  billing: Billing;
  /** The links between the gateways and the replicas of billing, one for each replica. */
  billingLinks: [LossyProxy, LossyProxy];
  redis: TestRedis;
  gateway: Gateway;
  /** A second gateway with the same database and queue, but its own store. It is not started. */
  other: Gateway;
  /** Creates an API key with these scopes. */
  apiKey(scopes: ApiScope[]): Promise<string>;
  remove(): Promise<void>;
}

/** Settings with short timeouts, so that faults are noticed soon. */
const quick = {
  CHECKOUT_CALL_TIMEOUT_MS: '900',
  CHECKOUT_TRY_TIMEOUT_MS: '600',
  CHECKOUT_REQUEUE_MS: '1000',
  CHECKOUT_RELAY_INTERVAL_MS: '200',
  CHECKOUT_BACKOFF_FIRST_MS: '50',
  CHECKOUT_BACKOFF_MAX_MS: '300',
  CHECKOUT_LOCK_MS: '500',
  CHECKOUT_STALLED_INTERVAL_MS: '200',
  CHECKOUT_REDIS_CHECK_MS: '500',
  CHECKOUT_SQL_TIMEOUT_MS: '1500',
  CHECKOUT_WATCH_INTERVAL_MS: '50',
  CHECKOUT_HEARTBEAT_MS: '100',
  CHECKOUT_RETRY_AFTER_SECONDS: '1',
};

/** Starts all processes but the second gateway. */
export async function startCheckoutMesh(): Promise<Mesh> {
  const [billing, redis] = await Promise.all([startBilling(), testRedis()]);
  const [first, second] = billing.replicas;
  const billingLinks: Mesh['billingLinks'] = [
    await startLossyProxy(first.port),
    await startLossyProxy(second.port),
  ];
  const databaseUrl = billing.postgres.server.url;
  await migrate('gateway', databaseUrl);
  const keys = path.join(billing.folder, 'keys.ndjson');
  const settings = {
    ...quick,
    MESH_SECRET: secret('mesh'),
    API_KEYS_FILE: keys,
    DATABASE_URL: databaseUrl,
    REDIS_URL: redis.server.url,
    BILLING_URLS: billingLinks.map(({ url }) => url).join(','),
    CHECKOUT_SECRET: 'the checkout secret of an end-to-end test',
  };
  const gateway = await createGateway({ ...settings, DATA_DIR: path.join(billing.folder, 'gateway') });
  const other = await createGateway({ ...settings, DATA_DIR: path.join(billing.folder, 'other') });
  await gateway.start();
  return {
    billing,
    billingLinks,
    redis,
    gateway,
    other,
    apiKey: async (scopes) => (await createApiKey(keys, scopes)).key,
    async remove() {
      await Promise.all([gateway, other].map((one) => one.signal('SIGKILL')));
      await Promise.all(billingLinks.map((link) => link.close()));
      await billing.remove();
      await redis.remove();
    },
  };
}

async function createGateway(settings: Record<string, string> & { DATA_DIR: string }): Promise<Gateway> {
  mkdirSync(settings.DATA_DIR, { recursive: true });
  const [httpPort, mqttPort] = [await freeLastingPort(), await freeLastingPort()];
  const ports = { HTTP_PORT: String(httpPort), MQTT_PORT: String(mqttPort) };
  const handle = managedProcess({
    name: 'the gateway',
    main: 'services/gateway/src/main.ts',
    settings: { LOG_LEVEL: 'trace', ...ports, ...settings },
    output: 'collected',
  });
  let published = 0;
  return {
    ...handle,
    url: `http://127.0.0.1:${httpPort}`,
    httpPort,
    async publish() {
      const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
        clientId: 'd1',
        username: 'd1',
        password: deriveToken(secret('mesh'), subjects.device('d1')),
        reconnectPeriod: 0,
      });
      await client.publishAsync('thermostat/data/d1', `{"seq":${published++}}`, { qos: 1 });
      await client.endAsync();
    },
  };
}

/** Calls once, without a retry. A call that fails resolves with status 0. */
export async function call(
  url: string,
  options: {
    bearer: string;
    method?: string;
    route?: string;
    key?: string;
    body?: unknown;
    /** Text that is sent unchanged, instead of `body`. */
    raw?: string;
  },
): Promise<Answer> {
  const { bearer, method = 'POST', route = '/v1/checkouts', key, body } = options;
  const raw = options.raw ?? (body === undefined ? undefined : JSON.stringify(body));
  try {
    const response = await fetch(url + route, {
      method,
      headers: {
        authorization: `Bearer ${bearer}`,
        ...(raw === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      ...(raw === undefined ? {} : { body: raw }),
      signal: AbortSignal.timeout(15_000),
    });
    const text = await response.text();
    return { status: response.status, text, headers: response.headers, body: bodyOf(text) };
  } catch (error) {
    return { status: 0, text: String(error), headers: new Headers(), body: {} };
  }
}

function bodyOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return { text };
  }
}

/**
 * Repeats an order under the same key until the gateway answers 202.
 * @throws Error for a refusal that no retry changes
 */
export async function orderUntilAccepted(url: string, bearer: string, key: string): Promise<Answer> {
  return until({ what: 'a 202', timeoutMs: waitMs }, async () => {
    const answer = await call(url, { bearer, key, body: order });
    if (answer.status !== 0 && answer.status !== 202 && answer.status !== 503)
      throw new Error(`neither accepted nor retriable: ${answer.status} ${answer.text}`);
    return answer.status === 202 ? answer : undefined;
  });
}

/** The checkout id in a 202 answer. */
export function acceptedId(answer: Answer): string {
  if (!isDocument(CheckoutAccepted, answer.body)) throw new Error(`no 202 document: ${answer.text}`);
  return answer.body.checkoutId;
}

/** Polls until the checkout is final; resolves with the last answer. */
export async function untilFinal(url: string, bearer: string, checkoutId: string): Promise<Answer> {
  return until({ what: `checkout ${checkoutId} to become final`, timeoutMs: waitMs }, async () => {
    const answer = await call(url, { bearer, method: 'GET', route: `/v1/checkouts/${checkoutId}` });
    return answer.status === 200 && viewOf(answer.text).status !== 'accepted' ? answer : undefined;
  });
}

export function viewOf(text: string): CheckoutView {
  const value: unknown = JSON.parse(text);
  if (!isDocument(CheckoutView, value)) throw new Error(`no checkout document: ${text}`);
  return value;
}

/** Reads one event stream to its end; returns its text and the views in its events. */
export async function readEvents(
  url: string,
  bearer: string,
  checkoutId: string,
  lastEventId?: string,
): Promise<{ status: number; text: string; views: CheckoutView[] }> {
  const response = await fetch(`${url}/v1/checkouts/${checkoutId}/events`, {
    headers: {
      authorization: `Bearer ${bearer}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    },
    signal: AbortSignal.timeout(waitMs),
  });
  const text = await response.text();
  const data = [...text.matchAll(/^data: (.*)$/gm)].map((match) => match[1] ?? '');
  return { status: response.status, text, views: response.status === 200 ? data.map(viewOf) : [] };
}

/** Every command that this Redis has ever written to its append-only file. */
export function appendOnlyFile(redis: TestRedis): string {
  const folder = path.join(redis.server.dataDir, 'appendonlydir');
  return readdirSync(folder)
    .map((file) => readFileSync(path.join(folder, file), 'latin1'))
    .join('\n');
}

export async function metricsOf(url: string): Promise<string> {
  return (await fetch(`${url}/metrics`)).text();
}

/** Waits until the checkout takes orders, because everything that it needs is available. */
export async function untilAccepting(url: string): Promise<void> {
  await until({ what: 'the checkout to be available', timeoutMs: waitMs }, async () =>
    (await metricsOf(url)).includes('thermomesh_checkout_available 1\n'),
  );
}

/** Waits until no checkout is under way, so that a fault that is set now strikes the next one. */
export async function untilIdle({ billing }: Mesh): Promise<void> {
  await until({ what: 'the outbox to be empty', timeoutMs: waitMs }, async () => {
    const rows = await billing.sql.query('SELECT 1 FROM checkout_outbox');
    return rows.length === 0;
  });
}

/** Waits until the order of this key is in the database. */
export async function untilStored({ billing }: Mesh, key: string): Promise<void> {
  await until({ what: 'the order to be stored', timeoutMs: waitMs }, async () => {
    const rows = await billing.sql.query('SELECT 1 FROM checkouts WHERE customer_key = $1', [key]);
    return rows.length > 0;
  });
}

/** Waits for and returns the replica that is asking the card processor for this order's payment. */
export async function untilHeld({ billing }: Mesh, key: string): Promise<Billing['processor']> {
  return until({ what: 'a replica to hold the payment', timeoutMs: waitMs, pollMs: 10 }, async () => {
    const [row] = await billing.sql.query<{ holder: string }>(
      `SELECT holder FROM operations JOIN checkouts USING (transaction_id)
        WHERE customer_key = $1 AND phase = 'charging'`,
      [key],
    );
    return billing.replicas.find(({ name }) => name === row?.holder);
  });
}

/** How many attempts at this order's payment replicas of billing have begun. */
export async function attemptsOf({ billing }: Mesh, key: string): Promise<number> {
  const [row] = await billing.sql.query<{ attempt: number }>(
    'SELECT attempt FROM operations JOIN checkouts USING (transaction_id) WHERE customer_key = $1',
    [key],
  );
  return row?.attempt ?? 0;
}

/** Deletes everything that Redis holds. */
export async function flushRedis({ redis }: Mesh): Promise<void> {
  const client = new Redis(redis.server.url);
  await client.flushall();
  await client.quit();
}

/** A fault of the matrix: each fault is combined with each way of ordering. */
export interface Fault {
  /** Runs before the first call; `which` names the combination. */
  prepare?: (which: string) => Promise<void>;
  /** Runs while calls are under way. */
  strike?: (key: string, which: string) => Promise<void>;
  /** Runs afterwards, if the fault leaves a trace; resolves with whether it has struck. */
  struck?: (key: string) => Promise<boolean>;
}

/** Loses the first request to each replica of billing, or the first reply of each. */
export function lostAtBilling(mesh: () => Mesh, loss: Loss): Fault {
  let replays = 0;
  return {
    async prepare() {
      await untilIdle(mesh());
      replays = await replaysOf(mesh());
      for (const link of mesh().billingLinks) link.lose(loss);
    },
    // Two replies are lost, so billing answers three times. A lost request leaves no trace.
    struck: async () => loss !== 'reply' || (await replaysOf(mesh())) >= replays + 2,
  };
}

/** How many answers both replicas have repeated. */
async function replaysOf({ billing }: Mesh): Promise<number> {
  const texts = await Promise.all(billing.replicas.map(({ url }) => metricsOf(url)));
  const counts = texts.flatMap((text) => [
    ...text.matchAll(/^thermomesh_billing_answers_total\{.*replayed="true".*\} (\d+)$/gm),
  ]);
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

/**
 * One replica dies at `point`. The other replica lives, but the gateway cannot reach it until then.
 */
export function billingDies(mesh: () => Mesh, point: CrashPoint): Fault {
  const witness = (which: string) => path.join(mesh().billing.folder, which);
  return {
    async prepare(which) {
      const [dying] = mesh().billing.replicas;
      await untilIdle(mesh());
      await dying.signal('SIGKILL');
      await dying.start(crashAt(point, witness(which)));
      mesh().billingLinks[1].lose(...Array<Loss>(1_000).fill('request'));
    },
    // It stays dead until the next test starts it: the other replica finishes the payment.
    async strike(_key, which) {
      await untilHit(witness(which), point);
      await mesh().billing.replicas[0].ended();
      mesh().billingLinks[1].lose();
    },
    // After the commit no work is left that the other replica could take over.
    struck: async (key) => point === 'billing.after-commit' || (await attemptsOf(mesh(), key)) > 1,
  };
}

/** The gateway dies at `point` and is started again. */
export function gatewayDies(mesh: () => Mesh, point: CrashPoint): Fault {
  const witness = (which: string) => path.join(mesh().billing.folder, which);
  return {
    async prepare(which) {
      const { gateway } = mesh();
      await gateway.signal('SIGKILL');
      await gateway.start(crashAt(point, witness(which)));
      await untilAccepting(gateway.url);
    },
    async strike(_key, which) {
      await untilHit(witness(which), point);
      await mesh().gateway.ended();
      await mesh().gateway.start();
    },
  };
}
