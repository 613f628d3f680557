import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { json } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { announceBilling } from '@thermomesh/billing-client/discovery';
import type { CheckoutPage, CheckoutView } from '@thermomesh/contracts';
import { createApiKey, createLog, type ApiScope } from '@thermomesh/runtime';
import { sharedZooKeeper, testDatabase, testRedis, type TestRedis } from '@thermomesh/servers';
import { testEnvironment, testSecret } from '../../testing.ts';
import { readGatewayConfig, settingsOf } from '../../config.ts';
import { createService, type GatewayService } from '../../service.ts';
import { checkoutDatabase, type CheckoutDatabase } from '../testing.ts';

const order = { payer: 'alice', amountMinor: 1_250, currency: 'EUR', paymentToken: 'tok_4242' };
const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-checkout-'));
const keys = path.join(folder, 'keys.ndjson');
let database: CheckoutDatabase;
let redis: TestRedis;
let billing: Server;
let gateway: GatewayService;
let key: string;
let asked = 0;

before(async () => {
  [database, redis] = await Promise.all([checkoutDatabase(), testRedis()]);
  billing = await startBilling();
  gateway = await startGateway('main', {});
  key = await newKey(['checkout']);
  for (;;) {
    const first = await call(gateway, { method: 'POST', body: order });
    if (first.status === 202) return void (await finalOf((first.body as { checkoutId: string }).checkoutId));
    await pause();
  }
});
after(async () => {
  await gateway.stop();
  billing.closeAllConnections();
  billing.close();
  await redis.remove();
  await database.drop();
  rmSync(folder, { recursive: true });
});

/** Statuses that billing answers to the payer "unsure" before it charges the payment. */
const doubts = [422, 410];

/**
 * Starts a stand-in for billing. It declines the payer "poor", refuses "refused", answers "unsure"
 * with `doubts` first, and charges all others.
 */
async function startBilling(): Promise<Server> {
  const server = createServer((request, response) => {
    void json(request).then((body) => {
      asked += 1;
      const { payer, amountMinor, currency } = body as typeof order;
      const transactionId = request.headers['idempotency-key'];
      // The logs of billing name the transaction of a checkout.
      assert.equal(request.headers['request-id'], transactionId);
      const refusal = payer === 'refused' ? 400 : payer === 'unsure' ? doubts.shift() : undefined;
      const status = payer === 'poor' ? 'declined' : 'charged';
      const reason = payer === 'poor' ? 'no funds' : null;
      const answer =
        refusal === undefined
          ? {
              transactionId,
              status,
              payer,
              amountMinor,
              currency,
              processorReference: 'r',
              reason,
              answeredAt: '',
            }
          : { type: 'about:blank', title: 'Refused', status: refusal, code: 'payments.bad', detail: 'no' };
      response.writeHead(refusal ?? 201, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function startGateway(name: string, more: Record<string, string>): Promise<GatewayService> {
  const environment = testEnvironment(path.join(folder, name), {
    LOG_LEVEL: 'silent',
    API_KEYS_FILE: keys,
    DATABASE_URL: database.url,
    REDIS_URL: redis.server.url,
    BILLING_URLS: `http://127.0.0.1:${(billing.address() as AddressInfo).port}`,
    CHECKOUT_SECRET: 'the checkout’s secret, at least thirty-two characters',
    CHECKOUT_QUEUE: name,
    // Long enough that a stalling machine costs no answer.
    CHECKOUT_REDIS_CHECK_MS: '5000',
    CHECKOUT_SQL_TIMEOUT_MS: '20000',
    CHECKOUT_RELAY_INTERVAL_MS: '100',
    ...more,
  });
  const service = createService(settingsOf(readGatewayConfig(environment)), createLog('gateway', 'silent'));
  await service.start();
  return service;
}

async function newKey(scopes: ApiScope[]): Promise<string> {
  return (await createApiKey(keys, scopes)).key;
}

async function pause(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 10));
}

async function call(
  service: GatewayService,
  options: { method?: string; route?: string; bearer?: string; customerKey?: string; body?: unknown },
) {
  const { method = 'GET', route = '/v1/checkouts', bearer = key, customerKey = randomUUID(), body } = options;
  const response = await fetch(`http://127.0.0.1:${service.httpPort}${route}`, {
    method,
    headers: {
      authorization: `Bearer ${bearer}`,
      'idempotency-key': customerKey,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) as never };
}

/** Places an order, and tries again while the queue of the gateway is not open yet. */
async function order202(service: GatewayService): Promise<{ checkoutId: string }> {
  const customerKey = randomUUID();
  for (;;) {
    const { status, body } = await call(service, { method: 'POST', customerKey, body: order });
    if (status === 202) return body;
    assert.equal(status, 503);
    await pause();
  }
}

async function finalOf(checkoutId: string, service = gateway): Promise<CheckoutView> {
  for (;;) {
    const view: CheckoutView = (await call(service, { route: `/v1/checkouts/${checkoutId}` })).body;
    if (view.status !== 'accepted') return view;
    await pause();
  }
}

describe('orders', () => {
  it('a repeated order gets the same bytes, marked as replayed, also when it is final', async () => {
    const customerKey = randomUUID();
    const body = { ...order, reference: 'Rechnung №7' };
    const first = await call(gateway, { method: 'POST', customerKey, body });
    assert.equal(first.status, 202);
    const { checkoutId, statusUrl } = first.body as { checkoutId: string; statusUrl: string };
    assert.equal(first.headers.get('location'), statusUrl);
    assert.equal(first.headers.get('idempotency-replayed'), null);
    const view = await finalOf(checkoutId);
    const again = await call(gateway, { method: 'POST', customerKey, body });
    assert.deepEqual([again.status, again.text], [202, first.text]);
    assert.equal(again.headers.get('idempotency-replayed'), 'true');
    assert.equal((await call(gateway, { route: statusUrl })).status, 200);
    assert.deepEqual([view.status, view.reference, view.reason], ['charged', 'Rechnung №7', undefined]);
    assert.match(view.finalAt ?? '', /Z$/);
  });

  it('a checkout stays open when billing answers 422 or 410', async () => {
    const before = asked;
    const accepted = await call(gateway, { method: 'POST', body: { ...order, payer: 'unsure' } });
    const view = await finalOf((accepted.body as { checkoutId: string }).checkoutId);
    assert.deepEqual([view.status, view.reason, asked - before], ['charged', undefined, 3]);
  });

  it('if one replica of billing is frozen, another is tried within the same attempt', async () => {
    const frozen = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(frozen, 'listening');
    const own = await checkoutDatabase();
    const urls = [frozen, billing].map((one) => `http://127.0.0.1:${(one.address() as AddressInfo).port}`);
    const service = await startGateway('frozen', {
      DATABASE_URL: own.url,
      BILLING_URLS: urls.join(','),
      CHECKOUT_TRY_TIMEOUT_MS: '1000',
      CHECKOUT_CALL_TIMEOUT_MS: '9000',
    });
    try {
      const customerKey = randomUUID();
      let accepted = await call(service, { method: 'POST', customerKey, body: order });
      while (accepted.status !== 202) {
        await pause();
        accepted = await call(service, { method: 'POST', customerKey, body: order });
      }
      const view = await finalOf((accepted.body as { checkoutId: string }).checkoutId, service);
      assert.equal(view.status, 'charged');
      const metrics = await fetch(`http://127.0.0.1:${service.httpPort}/metrics`);
      assert.doesNotMatch(await metrics.text(), /^thermomesh_checkout_attempts_failed_total\{/m);
    } finally {
      await service.stop();
      frozen.closeAllConnections();
      frozen.close();
      await own.drop();
    }
  });

  it('a declined or refused payment is final with its reason after one call', async () => {
    for (const [payer, status, reason] of [
      ['poor', 'declined', 'no funds'],
      ['refused', 'failed', 'payments.bad: no'],
    ] as const) {
      const before = asked;
      const accepted = await call(gateway, { method: 'POST', body: { ...order, payer } });
      const view = await finalOf((accepted.body as { checkoutId: string }).checkoutId);
      assert.deepEqual([view.status, view.reason, asked - before], [status, reason, 1]);
    }
  });

  it('a list pages through the caller’s own checkouts, newest first', async () => {
    const bearer = await newKey(['checkout']);
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) {
      const { body } = await call(gateway, { method: 'POST', bearer, body: order });
      ids.unshift((body as { checkoutId: string }).checkoutId);
    }
    const seen: string[] = [];
    for (let route = '/v1/checkouts?limit=2'; ;) {
      const page: CheckoutPage = (await call(gateway, { route, bearer })).body;
      seen.push(...page.items.map(({ checkoutId }) => checkoutId));
      if (page.next === null) break;
      route = `/v1/checkouts?limit=2&cursor=${page.next}`;
    }
    assert.deepEqual(seen, ids);
    const cursor = Buffer.from('[1e300]').toString('base64url');
    for (const query of ['limit=0', 'status=lost', 'cursor=x', `cursor=${cursor}`, 'colour=red'])
      assert.equal((await call(gateway, { route: `/v1/checkouts?${query}`, bearer })).status, 400, query);
  });

  it('an unknown id is answered with 404, a malformed one with 400', async () => {
    assert.equal((await call(gateway, { route: `/v1/checkouts/${randomUUID()}` })).status, 404);
    assert.equal((await call(gateway, { route: '/v1/checkouts/%00' })).status, 400);
  });
});

describe('replicas of billing', () => {
  it('an order is charged at a discovered replica while the static ones are down', async () => {
    const zookeeper = await sharedZooKeeper();
    const place = {
      hosts: zookeeper.hosts,
      path: `${zookeeper.root}/services`,
      sessionTimeoutMs: 4_000,
      secret: testSecret,
    };
    // The main gateway shares the outbox and may take these orders too. Only this gateway discovers
    // the second billing.
    const listed = await startBilling();
    let heard = 0;
    listed.on('request', () => (heard += 1));
    const { port } = listed.address() as AddressInfo;
    const onError = (error: unknown) => assert.fail(String(error));
    const replica = announceBilling({ ...place, onError, replica: 'billing-1', address: '127.0.0.1', port });
    const finding = await startGateway('finding', {
      BILLING_URLS: 'http://127.0.0.1:1',
      ZOOKEEPER_HOSTS: place.hosts,
      SERVICES_PATH: place.path,
    });
    try {
      const deadline = performance.now() + 20_000;
      while (heard === 0) {
        assert.ok(performance.now() < deadline, 'the listed replica is never asked');
        const { checkoutId } = await order202(finding);
        assert.equal((await finalOf(checkoutId)).status, 'charged');
      }
    } finally {
      await finding.stop();
      await replica.withdraw();
      await zookeeper.release();
      listed.closeAllConnections();
      listed.close();
    }
  });
});

describe('limits', () => {
  it('an API key over its limit gets 429 with Retry-After; other keys are served', async () => {
    const limited = await startGateway('limited', { CHECKOUT_REQUESTS_PER_MINUTE_MAX: '3' });
    try {
      const [first, second] = [await newKey(['checkout']), await newKey(['checkout'])];
      const statuses: number[] = [];
      for (let n = 0; n < 5; n++) statuses.push((await call(limited, { bearer: first })).status);
      assert.deepEqual(statuses, [200, 200, 200, 429, 429]);
      const refused = await call(limited, { method: 'POST', bearer: first, body: order });
      assert.equal(refused.status, 429);
      assert.match(refused.headers.get('content-type') ?? '', /^application\/problem\+json/);
      assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d?$/);
      assert.equal((await call(limited, { bearer: second })).status, 200);
    } finally {
      await limited.stop();
    }
  });

  it('the event streams of one API key are bounded, and HEAD opens none', async () => {
    const limited = await startGateway('streams', { CHECKOUT_STREAMS_PER_CALLER_MAX: '1' });
    // Without an outbox row no worker takes the checkout, so it stays open.
    const id = randomUUID();
    await database.pool.query(
      `INSERT INTO checkouts (checkout_id, caller, customer_key, fingerprint, transaction_id, payer, amount_minor, currency, token_box)
       SELECT $1, caller, $2, fingerprint, $3, payer, amount_minor, currency, 'x'
         FROM checkouts WHERE payer = 'alice' ORDER BY id LIMIT 1`,
      [id, randomUUID(), randomUUID()],
    );
    const url = `http://127.0.0.1:${limited.httpPort}/v1/checkouts/${id}/events`;
    const headers = { authorization: `Bearer ${key}` };
    const gone = new AbortController();
    try {
      assert.equal((await fetch(url, { method: 'HEAD', headers })).status, 404);
      const first = await fetch(url, { headers, signal: gone.signal });
      assert.equal(first.status, 200);
      const second = await fetch(url, { headers });
      const problem = (await second.json()) as { code: string };
      assert.deepEqual([second.status, problem.code], [429, 'checkout.too_many_streams_of_key']);
      assert.match(second.headers.get('retry-after') ?? '', /^\d+$/);
    } finally {
      gone.abort();
      await limited.stop();
    }
  });

  it('an address that guesses keys is limited before authentication', async () => {
    const limited = await startGateway('guarded', { CHECKOUT_ADDRESS_REQUESTS_PER_MINUTE_MAX: '3' });
    try {
      const statuses: number[] = [];
      for (let n = 0; n < 5; n++) statuses.push((await call(limited, { bearer: `tmk_${n}` })).status);
      assert.deepEqual(statuses, [401, 401, 401, 429, 429]);
      assert.equal((await call(limited, { route: '/v1/broker' })).status, 403);
      assert.equal((await call(limited, { route: '/readyz' })).status, 200);
    } finally {
      await limited.stop();
    }
  });
});

describe('a gateway whose checkout cannot work', () => {
  it('a gateway without checkout answers 503 on its routes and is ready for the rest', async () => {
    const off = Object.fromEntries(
      ['DATABASE_URL', 'REDIS_URL', 'BILLING_URLS', 'CHECKOUT_SECRET'].map((name) => [name, '']),
    );
    const service = await startGateway('off', off);
    try {
      const id = randomUUID();
      for (const options of [
        { method: 'POST', body: order },
        {},
        { route: `/v1/checkouts/${id}` },
        { route: `/v1/checkouts/${id}/events` },
      ]) {
        const answer = await call(service, options);
        assert.deepEqual([answer.status, (answer.body as { code: string }).code], [503, 'checkout.off']);
      }
      assert.equal((await call(service, { route: '/readyz' })).status, 200);
    } finally {
      await service.stop();
    }
  });

  it('a checkout without its schema answers 503, and the gateway is ready', async () => {
    const empty = await testDatabase();
    const service = await startGateway('empty', { DATABASE_URL: empty.url });
    try {
      const answer = await call(service, {});
      assert.deepEqual([answer.status, (answer.body as { code: string }).code], [503, 'checkout.no_schema']);
      assert.equal((await call(service, { route: '/readyz' })).status, 200);
    } finally {
      await service.stop();
      await empty.drop();
    }
  });
});

it('the metrics count accepted, final and waiting checkouts', async () => {
  const response = await fetch(`http://127.0.0.1:${gateway.httpPort}/metrics`);
  const text = await response.text();
  for (const line of [
    /^thermomesh_checkout_available 1$/m,
    /^thermomesh_checkout_accepted_total\{replayed="true"\} [1-9]/m,
    /^thermomesh_checkout_final_total\{status="failed"\} 1$/m,
    /^thermomesh_checkout_hand_overs_total\{again="false"\} [1-9]/m,
    /^thermomesh_checkout_outbox_depth \d/m,
    /^thermomesh_checkout_outbox_oldest_age_ms \d/m,
  ])
    assert.match(text, line);
});
