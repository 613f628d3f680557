import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { PaymentDocument } from '@thermomesh/contracts';
import { createBillingClient, type BillingClientOptions } from './client.ts';
import { BillingNoAnswerError, BillingRefusedError } from './errors.ts';

/** What the server does with one request; keys that it has acted on are in `acted`. */
type Deed = 'answer' | 'drop' | 'act and drop' | 'hang' | number;
let server: Server;
let url: string;
/** Nobody listens there. */
let nobodyUrl: string;
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
  nobodyUrl = `http://127.0.0.1:${(gone.address() as AddressInfo).port}`;
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

/** What a try gets that nobody will answer. */
const hangMs = 150;

/** Waits however long the machine stalls. */
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
  it('at-least-once asks again with the same UUID until there is an answer', async () => {
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

  it('at-least-once without a UUID of the caller acts twice: what the UUID is for', async () => {
    deeds = ['act and drop'];
    await client({ unsafeKeyPerTry: randomUUID }).pay(randomUUID(), request);
    assert.equal(acted.length, 2);
    assert.equal(new Set(acted).size, 2);
  });

  it('maybe tries once, whatever comes of it', async () => {
    deeds = ['drop'];
    await assert.rejects(client().pay(randomUUID(), request, { semantics: 'maybe' }), noAnswer('broken'));
    assert.equal(keys.length, 1);
    const nobody = client({ urls: [nobodyUrl] });
    await assert.rejects(nobody.pay(randomUUID(), request, { semantics: 'maybe' }), noAnswer('unreachable'));
  });

  it('at-most-once tries again only while billing cannot have seen the request', async () => {
    const semantics = 'at-most-once';
    const twoReplicas = client({ urls: [nobodyUrl, url] });
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
    // A machine that stalls may give it up before it has left.
    assert.ok(keys.length <= 1);
  });
});

describe('a call', () => {
  it('that billing refuses is not tried again', async () => {
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

  it('that meets a fault of billing’s program is not tried again, and its outcome is unknown', async () => {
    deeds = [500];
    await assert.rejects(client().pay(randomUUID(), request), noAnswer('failed'));
    assert.equal(keys.length, 1);
  });

  it('ends at its deadline although pauses and tries would go on', async () => {
    deeds = Array.from({ length: 50 }, (): Deed => 'hang');
    const hasty = client({ tryTimeoutMs: hangMs });
    await assert.rejects(hasty.pay(randomUUID(), request, { deadlineMs: 400 }), noAnswer('timeout'));
    retryAfter.set(409, '3600');
    deeds = [409];
    await assert.rejects(client().pay(randomUUID(), request, { deadlineMs: 100 }), noAnswer('timeout'));
  });

  it('goes round the replicas, and leaves one alone that never answers', async () => {
    const two = client({ urls: [nobodyUrl, url], breakerFailuresMax: 2, breakerOpenMs: 60_000 });
    for (let n = 0; n < 6; n++) await two.pay(randomUUID(), request);
    const alone = client({ urls: [nobodyUrl], breakerFailuresMax: 2, breakerOpenMs: 60_000 });
    const maybe = () => alone.pay(randomUUID(), request, { semantics: 'maybe' });
    await assert.rejects(maybe(), noAnswer('unreachable'));
    await assert.rejects(maybe(), noAnswer('unreachable'));
    await assert.rejects(maybe(), noAnswer('breaker_open'));
  });

  it('goes where the replicas are at each try, and a replica that stays keeps its open breaker', async () => {
    let urls: readonly string[] = [];
    let asked = 0;
    const moving = client({
      urls: () => (++asked === 3 ? (urls = [url]) : urls),
      ...{ breakerFailuresMax: 1, breakerOpenMs: 60_000 },
    });
    // Nobody is there at first: certainly nothing was sent, and it is tried again.
    await moving.pay(randomUUID(), request, { semantics: 'at-most-once' });
    assert.equal(asked, 3);
    const maybe = () => moving.pay(randomUUID(), request, { semantics: 'maybe' });
    urls = [nobodyUrl];
    await assert.rejects(maybe(), noAnswer('unreachable'));
    urls = [nobodyUrl, url];
    for (let n = 0; n < 4; n++) await maybe();
    urls = [];
    await assert.rejects(maybe(), noAnswer('unreachable'));
  });

  it('“still running” opens no breaker', async () => {
    deeds = Array.from({ length: 10 }, (): Deed => 409);
    const id = randomUUID();
    assert.equal((await client({ breakerFailuresMax: 2 }).pay(id, request)).transactionId, id);
  });
});
