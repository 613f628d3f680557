/** A gateway with checkout of the test's own, before the billing of `billing-support.ts`: all of it real processes. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isDocument, CheckoutAccepted, CheckoutView } from '@thermomesh/contracts';
import { until } from '@thermomesh/mesh';
import { createApiKey, deriveToken, subjects, type ApiScope, type CrashPoint } from '@thermomesh/runtime';
import { freeLastingPort, testRedis, type TestRedis } from '@thermomesh/servers';
import mqtt from 'mqtt';
import { Redis } from 'ioredis';
import { callerToken, startBilling, type Billing } from './billing-support.ts';
import { startFlakyProxy, type FlakyProxy, type Loss } from './flaky-proxy.ts';
import { crashAt, untilHit, waitMs } from './support.ts';

const repository = path.resolve(import.meta.dirname, '../..');
/** The one that billing-support gives its replicas. */
const meshSecret = 'the mesh secret of an end-to-end test';

export const order = { payer: 'alice', amountMinor: 1_250, currency: 'EUR', paymentToken: 'tok_4242' };

/** What a call brought; status 0 if it brought nothing. */
export interface Answer {
  status: number;
  text: string;
  headers: Headers;
  body: Record<string, unknown>;
}

/** The gateway as a process that keeps its ports and its folder. */
export interface Gateway {
  readonly url: string;
  readonly httpPort: number;
  /** Everything that it has logged, at level trace. */
  logged(): string;
  start(env?: Record<string, string>): Promise<void>;
  signal(name: NodeJS.Signals): Promise<void>;
  ended(): Promise<void>;
  /** A reading at QoS 1; resolves with its PUBACK. */
  publish(): Promise<void>;
}

export interface Mesh {
  billing: Billing;
  /** The gateways' links to the replicas of billing, one each. */
  billingLinks: [FlakyProxy, FlakyProxy];
  redis: TestRedis;
  gateway: Gateway;
  /** A second gateway on the same database and queue, with a store of its own; not started. */
  other: Gateway;
  apiKey(scopes: ApiScope[]): Promise<string>;
  remove(): Promise<void>;
}

/** Settings under which everything is noticed soon. */
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

export async function startCheckoutMesh(): Promise<Mesh> {
  if (callerToken !== deriveToken(meshSecret, subjects.service('gateway')))
    throw new Error('billing-support has another mesh secret');
  const [billing, redis] = await Promise.all([startBilling(), testRedis()]);
  const [first, second] = billing.replicas;
  const billingLinks: Mesh['billingLinks'] = [
    await startFlakyProxy(first.port),
    await startFlakyProxy(second.port),
  ];
  const databaseUrl = billing.postgres.server.url;
  await migrate(databaseUrl);
  const keys = path.join(billing.folder, 'keys.ndjson');
  const settings = {
    ...quick,
    MESH_SECRET: meshSecret,
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

async function migrate(databaseUrl: string): Promise<void> {
  const child = fork(path.join(repository, 'services/gateway/src/migrate.ts'), {
    env: { ...process.env, DATABASE_URL: databaseUrl },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [code] = (await once(child, 'exit')) as [number];
  if (code !== 0) throw new Error(`the migration ended with ${code}`);
}

async function createGateway(settings: Record<string, string> & { DATA_DIR: string }): Promise<Gateway> {
  mkdirSync(settings.DATA_DIR, { recursive: true });
  const [httpPort, mqttPort] = [await freeLastingPort(), await freeLastingPort()];
  let child: ChildProcess | undefined;
  let log = '';
  let published = 0;
  const isOver = () => child === undefined || child.exitCode !== null || child.signalCode !== null;
  return {
    url: `http://127.0.0.1:${httpPort}`,
    httpPort,
    logged: () => log,
    async start(env = {}) {
      const ports = { HTTP_PORT: String(httpPort), MQTT_PORT: String(mqttPort) };
      const started = fork(path.join(repository, 'services/gateway/src/main.ts'), {
        env: { ...process.env, LOG_LEVEL: 'trace', ...ports, ...settings, ...env },
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      });
      child = started;
      for (const stream of [started.stdout, started.stderr])
        stream?.on('data', (bytes: Buffer) => (log += bytes.toString()));
      const failed = once(started, 'exit').then(() => {
        throw new Error(`the gateway ended before it was ready: ${log.slice(-1_000)}`);
      });
      // An end that comes later is the test's own doing.
      failed.catch(() => undefined);
      await Promise.race([once(started, 'message'), failed]);
    },
    async signal(signal) {
      if (child === undefined || isOver()) return;
      const ends = signal === 'SIGKILL' || signal === 'SIGTERM' ? once(child, 'exit') : undefined;
      child.kill(signal);
      await ends;
    },
    async ended() {
      if (child !== undefined && !isOver()) await once(child, 'exit');
    },
    async publish() {
      const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
        clientId: 'd1',
        username: 'd1',
        password: deriveToken(meshSecret, subjects.device('d1')),
        reconnectPeriod: 0,
      });
      await client.publishAsync('thermostat/data/d1', `{"seq":${published++}}`, { qos: 1 });
      await client.endAsync();
    },
  };
}

/** One raw call, whose failure is an answer too: status 0. */
export async function call(
  url: string,
  options: {
    bearer: string;
    method?: string;
    route?: string;
    key?: string;
    body?: unknown;
    /** Sent as it is, instead of `body`. */
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

/** Orders again under the same key until there is a 202. @throws Error for a refusal that no repetition changes */
export async function orderUntilAccepted(url: string, bearer: string, key: string): Promise<Answer> {
  return until({ what: 'a 202', timeoutMs: waitMs }, async () => {
    const answer = await call(url, { bearer, key, body: order });
    if (answer.status !== 0 && answer.status !== 202 && answer.status !== 503)
      throw new Error(`neither accepted nor to be tried again: ${answer.status} ${answer.text}`);
    return answer.status === 202 ? answer : undefined;
  });
}

/** The id that a 202 tells. */
export function acceptedId(answer: Answer): string {
  if (!isDocument(CheckoutAccepted, answer.body)) throw new Error(`no 202 document: ${answer.text}`);
  return answer.body.checkoutId;
}

/** Asks until the checkout is final; the last answer. */
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

/** All of one event stream, to its end: its frames. */
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

/** The checkout takes orders: everything that it needs has been found. */
export async function untilAccepting(url: string): Promise<void> {
  await until({ what: 'the checkout to be available', timeoutMs: waitMs }, async () =>
    (await metricsOf(url)).includes('thermomesh_checkout_available 1\n'),
  );
}

/** No checkout is under way: a fault that is set now strikes the next one. */
export async function untilIdle({ billing }: Mesh): Promise<void> {
  await until({ what: 'the outbox to be empty', timeoutMs: waitMs }, async () => {
    const rows = await billing.sql.query('SELECT 1 FROM checkout_outbox');
    return rows.length === 0;
  });
}

export async function untilStored({ billing }: Mesh, key: string): Promise<void> {
  await until({ what: 'the order to be stored', timeoutMs: waitMs }, async () => {
    const rows = await billing.sql.query('SELECT 1 FROM checkouts WHERE customer_key = $1', [key]);
    return rows.length > 0;
  });
}

/** The replica that is asking the card processor for this order's payment. */
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

/** How often a replica has taken this order's payment up. */
export async function attemptsOf({ billing }: Mesh, key: string): Promise<number> {
  const [row] = await billing.sql.query<{ attempt: number }>(
    'SELECT attempt FROM operations JOIN checkouts USING (transaction_id) WHERE customer_key = $1',
    [key],
  );
  return row?.attempt ?? 0;
}

/** All that Redis holds is gone. */
export async function flushRedis({ redis }: Mesh): Promise<void> {
  const client = new Redis(redis.server.url);
  await client.flushall();
  await client.quit();
}

/** What goes wrong in one cell of the matrix. */
export interface Fault {
  /** Before the first call; `which` names the cell. */
  prepare?: (which: string) => Promise<void>;
  /** While calls are under way. */
  strike?: (key: string, which: string) => Promise<void>;
  /** Afterwards, if it can be seen: that the cell was no fair weather. */
  struck?: (key: string) => Promise<boolean>;
}

/** Lost on the way to whichever replica the gateway asks first, and to the other one too. */
export function lostAtBilling(mesh: () => Mesh, loss: Loss): Fault {
  let replays = 0;
  return {
    async prepare() {
      await untilIdle(mesh());
      replays = await replaysOf(mesh());
      for (const link of mesh().billingLinks) link.lose(loss);
    },
    // Two replies are lost, so the answer comes three times. A request that is lost leaves no trace.
    struck: async () => loss !== 'reply' || (await replaysOf(mesh())) >= replays + 2,
  };
}

/** Answers of both replicas that were none of the first ones. */
async function replaysOf({ billing }: Mesh): Promise<number> {
  const texts = await Promise.all(billing.replicas.map(({ url }) => metricsOf(url)));
  const counts = texts.flatMap((text) => [
    ...text.matchAll(/^thermomesh_billing_answers_total\{.*replayed="true".*\} (\d+)$/gm),
  ]);
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

/** One replica dies at `point`. The other one lives, but the gateway cannot reach it before that. */
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
    // It stays dead until the next cell starts it: the other one finishes the payment.
    async strike(_key, which) {
      await untilHit(witness(which), point);
      await mesh().billing.replicas[0].ended();
      mesh().billingLinks[1].lose();
    },
    // After the commit there is nothing left to take over.
    struck: async (key) => point === 'billing.after-commit' || (await attemptsOf(mesh(), key)) > 1,
  };
}

/** The gateway dies at `point`, and comes back. */
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
