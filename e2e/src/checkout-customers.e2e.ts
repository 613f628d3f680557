import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { order } from './billing-support.ts';
import {
  acceptedId,
  appendOnlyFile,
  call,
  metricsOf,
  orderUntilAccepted,
  readEvents,
  startCheckoutMesh,
  untilAccepting,
  untilFinal,
  untilIdle,
  viewOf,
  type Mesh,
} from './checkout-support.ts';

let mesh: Mesh;
let bearer: string;
const direct = () => mesh.gateway.url;

before(async () => {
  mesh = await startCheckoutMesh();
  bearer = await mesh.apiKey(['checkout']);
  await untilAccepting(direct());
});
afterEach(() => mesh.billing.faults({}));
after(() => mesh.remove());

describe('what customers may order and read', () => {
  const bodies: Record<string, unknown> = {
    'negative amount': { ...order, amountMinor: -1 },
    'fractional amount': { ...order, amountMinor: 12.5 },
    'huge amount': { ...order, amountMinor: 1e18 },
    'unknown currency': { ...order, currency: 'XBT' },
    'a field too many': { ...order, cvv: '123' },
    'no object': [order],
  };

  it('invalid orders are refused with a clear problem, and none is stored', async () => {
    const cases = [
      ...Object.entries(bodies).map(([name, body]) => [name, 400, { key: randomUUID(), body }] as const),
      ['no key', 400, { body: order }] as const,
      ['a key too long', 400, { key: 'x'.repeat(129), body: order }] as const,
      ['no JSON', 400, { key: randomUUID(), raw: `{"paymentToken":${order.paymentToken}` }] as const,
      ['too much', 413, { key: randomUUID(), body: { ...order, x: 'x'.repeat(100_000) } }] as const,
    ];
    const count = async () => (await mesh.billing.sql.query('SELECT count(*) AS n FROM checkouts'))[0];
    const before = await count();
    for (const [name, status, options] of cases) {
      const answer = await call(direct(), { bearer, ...options });
      assert.equal(answer.status, status, `${name}: ${answer.text}`);
      assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/, name);
      assert.equal(typeof answer.body['detail'], 'string', name);
      assert.ok(!answer.text.includes(order.paymentToken), name);
    }
    assert.deepEqual(await count(), before);
  });

  it('a key with other parameters gets 422, and is separate for each customer', async () => {
    const key = randomUUID();
    const first = await orderUntilAccepted(direct(), bearer, key);
    for (const other of [{ amountMinor: 1 }, { paymentToken: 'tok_other' }, { reference: 'x' }]) {
      const answer = await call(direct(), { bearer, key, body: { ...order, ...other } });
      assert.deepEqual([answer.status, answer.body['code']], [422, 'checkout.other_parameters']);
    }
    const stranger = await mesh.apiKey(['read', 'checkout']);
    const theirs = await orderUntilAccepted(direct(), stranger, key);
    assert.notEqual(acceptedId(theirs), acceptedId(first));
    const route = `/v1/checkouts/${acceptedId(first)}`;
    for (const path of [route, `${route}/events`])
      assert.equal((await call(direct(), { bearer: stranger, method: 'GET', route: path })).status, 404);
    const list = await call(direct(), { bearer: stranger, method: 'GET' });
    assert.deepEqual(
      (list.body['items'] as { checkoutId: string }[]).map(({ checkoutId }) => checkoutId),
      [acceptedId(theirs)],
    );
  });

  it('an API key without the checkout scope may neither order nor read', async () => {
    const reader = await mesh.apiKey(['read']);
    assert.equal((await call(direct(), { bearer: reader, key: 'a', body: order })).status, 403);
    assert.equal((await call(direct(), { bearer: reader, method: 'GET' })).status, 403);
    assert.equal((await call(direct(), { bearer: 'tmk_x', key: 'a', body: order })).status, 401);
  });

  it('a declined checkout is final and has a reason', async () => {
    await untilIdle(mesh);
    await mesh.billing.faults({ next: ['decline'] });
    const accepted = await orderUntilAccepted(direct(), bearer, randomUUID());
    const view = viewOf((await untilFinal(direct(), bearer, acceptedId(accepted))).text);
    assert.equal(view.status, 'declined');
    assert.ok((view.reason ?? '').length > 0);
  });

  it('an event stream sends status and end; after the end a reconnect gets 204', async () => {
    await untilIdle(mesh);
    await mesh.billing.faults({ next: ['delay'], delayMs: 400 });
    const id = acceptedId(await orderUntilAccepted(direct(), bearer, randomUUID()));
    const { text, views } = await readEvents(direct(), bearer, id, 'anything');
    assert.deepEqual(
      views.map(({ status }) => status),
      ['accepted', 'charged'],
    );
    assert.match(text, /^: $/m, 'a heartbeat in between');
    assert.deepEqual(JSON.stringify(views[1]), (await untilFinal(direct(), bearer, id)).text);
    assert.equal((await readEvents(direct(), bearer, id)).views.length, 1);
    assert.equal((await readEvents(direct(), bearer, id, '2')).status, 204);
  });
});

it('card data is in no log, answer, metric, Redis command or table, even on faults', async () => {
  const paymentToken = `tok_${randomUUID().replaceAll('-', '')}`;
  const key = randomUUID();
  await untilIdle(mesh);
  await mesh.billing.faults({ next: ['drop-reply', 'hang', 'refuse'] });
  const answers = [
    await call(direct(), { bearer, key, body: { ...order, paymentToken } }),
    await call(direct(), { bearer, key, body: { ...order, paymentToken, amountMinor: 1 } }),
    await call(direct(), { bearer, key: randomUUID(), raw: `{"paymentToken": "${paymentToken}" oops` }),
  ];
  const tables = async () =>
    (
      await mesh.billing.sql.query<{ row: string }>(
        'SELECT checkouts::text AS row FROM checkouts UNION ALL SELECT checkout_outbox::text FROM checkout_outbox',
      )
    ).map(({ row }) => row);
  const open = await tables();
  const id = acceptedId(answers[0]!);
  const final = await untilFinal(direct(), bearer, id);
  const places = {
    logs: mesh.gateway.logged(),
    answers: [...answers, final].map(({ text }) => text).join('\n'),
    metrics: await metricsOf(direct()),
    Redis: appendOnlyFile(mesh.redis),
    tables: [...open, ...(await tables())].join('\n'),
  };
  for (const place of ['logs', 'Redis', 'tables'] as const)
    assert.ok(places[place].includes(id), `${place} do not mention the checkout`);
  const spellings = (['utf8', 'hex', 'base64', 'base64url'] as const).map((encoding) =>
    Buffer.from(paymentToken).toString(encoding),
  );
  for (const [place, text] of Object.entries(places))
    for (const spelling of [...spellings, bearer])
      assert.ok(!text.includes(spelling), `${place} hold ${spelling.slice(0, 4)}…`);
  const [row] = await mesh.billing.sql.query('SELECT token_box FROM checkouts WHERE checkout_id = $1', [id]);
  assert.deepEqual(row, { token_box: null });
});
