import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { PaymentDocument } from '@thermomesh/contracts';
import { createBillingClient, type BillingClientOptions } from './client.ts';
import { BillingNoAnswerError, BillingRefusedError } from './errors.ts';

/** What the server does with one request; `acted` holds the keys that it has acted on. */
type Deed = 'answer' | 'drop' | 'act and drop' | 'hang' | number;
let server: Server;
let url: string;
/** URL of a port without a server. */
let deadUrl: string;
let deeds: Deed[];
let keys: string[];
let acted: string[];
const retryAfter = new Map<number, string>();

const document = (transactionId: string): PaymentDocument => ({
  transactionId,
  status: 'charged',
  payer: 'alice',
  amountMinor: 1,
  currency: 'EUR',
  processorReference: 'ch_1',
  reason: null,
  answeredAt: '2026-01-01T00:00:00.000Z',
});
const request = { payer: 'alice', amountMinor: 1, currency: 'EUR', paymentToken: 'tok_1' };

function serve(incoming: IncomingMessage, response: ServerResponse): void {
  const key = String(incoming.headers['idempotency-key']);
  keys.push(key);
  const deed = deeds.shift() ?? 'answer';
  if (deed === 'hang') return;
  if (deed === 'act and drop' || deed === 'answer') acted.push(key);
  if (deed === 'drop' || deed === 'act and drop') return void incoming.socket.destroy();
  response.setHeader('content-type', 'application/json');
  if (typeof deed === 'number') {
    const pause = retryAfter.get(deed);
    if (pause !== undefined) response.setHeader('retry-after', pause);
    response.statusCode = deed;
    response.end(
      JSON.stringify({ type: 'about:blank', title: 'x', status: deed, code: `code.${deed}`, detail: 'why' }),
    );
  } else response.writeHead(201).end(JSON.stringify(document(key)));
}

beforeEach(async () => {
  [deeds, keys, acted] = [[], [], []];
  retryAfter.clear();
  const gone = createServer().listen(0, '127.0.0.1');
  await once(gone, 'listening');
  deadUrl = `http://127.0.0.1:${(gone.address() as AddressInfo).port}`;
  gone.close();
  await once(gone, 'close');
  server = createServer(serve).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** Time limit of a try that gets no answer. */
const hangMs = 150;

/** A client with generous time limits for a machine that stalls. */
const client = (more: Partial<BillingClientOptions> = {}) =>
  createBillingClient({
    urls: [url],
    token: 't',
    tryTimeoutMs: 20_000,
    deadlineMs: 60_000,
    backoffFirstMs: 2,
    backoffMaxMs: 10,
    ...more,
  });
const noAnswer = (reason: string) => (error: unknown) => {
  assert.ok(error instanceof BillingNoAnswerError, String(error));
  assert.equal(error.reason, reason);
  return true;
};

describe('the semantics', () => {
  it('at-least-once tries again with the same UUID until there is an answer', async () => {
    deeds = ['drop', 'act and drop', 503, 409, 429];
    const id = randomUUID();
    assert.deepEqual(await client().pay(id, request), document(id));
    assert.deepEqual(
      keys,
      Array.from({ length: 6 }, () => id),
    );
    [deeds, keys] = [['hang'], []];
    assert.deepEqual(await client({ tryTimeoutMs: hangMs }).pay(id, request), document(id));
    assert.ok(keys.length >= 2);
    assert.deepEqual(new Set(keys), new Set([id]));
  });

  it('at-least-once with a new UUID for each try acts twice', async () => {
    deeds = ['act and drop'];
    await client({ unsafeKeyPerTry: randomUUID }).pay(randomUUID(), request);
    assert.equal(acted.length, 2);
    assert.equal(new Set(acted).size, 2);
  });

  it('maybe tries once, with or without an answer', async () => {
    deeds = ['drop'];
    await assert.rejects(client().pay(randomUUID(), request, { semantics: 'maybe' }), noAnswer('broken'));
    assert.equal(keys.length, 1);
    const dead = client({ urls: [deadUrl] });
    await assert.rejects(dead.pay(randomUUID(), request, { semantics: 'maybe' }), noAnswer('unreachable'));
  });

  it('at-most-once tries again only if billing cannot have received the request', async () => {
    const semantics = 'at-most-once';
    const twoReplicas = client({ urls: [deadUrl, url] });
    const id = randomUUID();
    assert.deepEqual(await twoReplicas.pay(id, request, { semantics }), document(id));
    for (const [deed, reason] of [
      ['act and drop', 'broken'],
      [503, 'unavailable'],
    ] as const) {
      deeds = [deed];
      keys = [];
      await assert.rejects(client().pay(randomUUID(), request, { semantics }), noAnswer(reason));
      assert.equal(keys.length, 1);
    }
    deeds = ['hang'];
    keys = [];
    const hasty = client({ tryTimeoutMs: hangMs });
    await assert.rejects(hasty.pay(randomUUID(), request, { semantics }), noAnswer('timeout'));
    // On a machine that stalls, the try may end before the request is sent.
    assert.ok(keys.length <= 1);
  });
});

describe('a call', () => {
  it('a call that billing refuses is not tried again', async () => {
    for (const status of [400, 401, 404, 410, 422]) {
      deeds = [status];
      keys = [];
      await assert.rejects(client().pay(randomUUID(), request), (error: unknown) => {
        assert.ok(error instanceof BillingRefusedError);
        assert.deepEqual([error.status, error.code, error.retriable], [status, `code.${status}`, false]);
        return true;
      });
      assert.equal(keys.length, 1);
    }
  });

  it('a call that meets a bug of billing is not tried again; its outcome is unknown', async () => {
    deeds = [500];
    await assert.rejects(client().pay(randomUUID(), request), noAnswer('failed'));
    assert.equal(keys.length, 1);
  });

  it('a call ends at its deadline even if more tries would follow', async () => {
    deeds = Array.from({ length: 50 }, (): Deed => 'hang');
    const hasty = client({ tryTimeoutMs: hangMs });
    await assert.rejects(hasty.pay(randomUUID(), request, { deadlineMs: 400 }), noAnswer('timeout'));
    retryAfter.set(409, '3600');
    deeds = [409];
    await assert.rejects(client().pay(randomUUID(), request, { deadlineMs: 100 }), noAnswer('timeout'));
  });

  it('tries use the replicas in turn; one that never answers is left alone', async () => {
    const two = client({ urls: [deadUrl, url], breakerFailuresMax: 2, breakerOpenMs: 60_000 });
    for (let n = 0; n < 6; n++) await two.pay(randomUUID(), request);
    const alone = client({ urls: [deadUrl], breakerFailuresMax: 2, breakerOpenMs: 60_000 });
    const maybe = () => alone.pay(randomUUID(), request, { semantics: 'maybe' });
    await assert.rejects(maybe(), noAnswer('unreachable'));
    await assert.rejects(maybe(), noAnswer('unreachable'));
    await assert.rejects(maybe(), noAnswer('breaker_open'));
  });

  it('each try uses the current replicas; one that stays keeps its open breaker', async () => {
    let urls: readonly string[] = [];
    let asked = 0;
    const moving = client({
      urls: () => (++asked === 3 ? (urls = [url]) : urls),
      breakerFailuresMax: 1,
      breakerOpenMs: 60_000,
    });
    // At first there is no replica: certainly nothing was sent, so the call is tried again.
    await moving.pay(randomUUID(), request, { semantics: 'at-most-once' });
    assert.equal(asked, 3);
    const maybe = () => moving.pay(randomUUID(), request, { semantics: 'maybe' });
    urls = [deadUrl];
    await assert.rejects(maybe(), noAnswer('unreachable'));
    urls = [deadUrl, url];
    for (let n = 0; n < 4; n++) await maybe();
    urls = [];
    await assert.rejects(maybe(), noAnswer('unreachable'));
  });

  it('the answer “still running” opens no breaker', async () => {
    deeds = Array.from({ length: 10 }, (): Deed => 409);
    const id = randomUUID();
    assert.equal((await client({ breakerFailuresMax: 2 }).pay(id, request)).transactionId, id);
  });
});
