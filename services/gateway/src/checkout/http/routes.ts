import {
  CheckoutAccepted,
  CheckoutPage,
  CheckoutRequest,
  CheckoutStatus,
  CheckoutView,
  isCustomerKey,
} from '@thermomesh/contracts';
import { decodeCursor, pageOf, type HttpApp, type HttpError, type HttpRequest } from '@thermomesh/runtime';
import Type from 'typebox';
import type { Checkout } from '../checkout.ts';
import { acceptedOf, statusUrlOf, viewOf } from '../core/checkout.ts';
import { lastEventId, type TooMany } from '../event-streams.ts';
import { problem } from './problem.ts';
import { withAnswers } from './unavailable.ts';

export interface CheckoutRouteDeps {
  /** Undefined if the checkout is switched off. */
  checkout: Checkout | undefined;
  /** Names the customer; customers see only their own checkouts. */
  callerOf: (request: HttpRequest) => string;
  /** @throws HttpError 429 */
  limit: (request: HttpRequest) => Promise<void>;
}

/** Rows of one answer: the maximum, and the default. */
const pageRowsMax = 1_000;
const pageRowsDefault = 100;
/** Switching the checkout on takes an operator more than a minute. */
const offRetryAfterSeconds = 60;

const Params = Type.Object({
  checkoutId: Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
});
const ListQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: pageRowsMax, description: `Default: ${pageRowsDefault}.` }),
    ),
    cursor: Type.Optional(Type.String({ maxLength: 200, description: '`next` of the page before.' })),
    status: Type.Optional(CheckoutStatus),
  },
  { additionalProperties: false },
);

const OrderHeaders = Type.Object({
  // Missing and malformed keys have codes of their own.
  'idempotency-key': Type.Optional(
    Type.String({ description: 'Required: 1–128 visible ASCII characters. The same key is the same order.' }),
  ),
});

/** The stream and its end, for the document. */
const eventResponses: Record<string, unknown> = {
  200: {
    description: 'Server-sent events: each `data` is the checkout; the stream ends after the final state.',
    content: {
      'text/event-stream': {
        schema: Type.String({ contentMediaType: 'application/json', contentSchema: CheckoutView }),
      },
    },
  },
  204: Type.Null({ description: 'The final state was seen: do not connect again.' }),
};

/** Routes to place orders and to follow them, all with the scope `checkout`. */
export function checkoutRoutes(app: HttpApp, deps: CheckoutRouteDeps): void {
  const config = { access: 'checkout' } as const;
  const onRequest = [deps.limit];
  orderRoute(app, deps, { config, onRequest });
  readRoutes(app, deps, { config, onRequest });
  eventRoute(app, deps, { config, onRequest });
}

interface Common {
  config: { access: 'checkout' };
  onRequest: ((request: HttpRequest) => Promise<void>)[];
}

/** Answers 202 when the order is stored: from then on it becomes final, whatever dies (I5). */
function orderRoute(app: HttpApp, deps: CheckoutRouteDeps, { config, onRequest }: Common): void {
  app.post(
    '/v1/checkouts',
    {
      config,
      // Before the body is validated: while no order can be taken, no order is a bad request.
      onRequest: [...onRequest, async () => void readyCheckout(deps)],
      schema: { headers: OrderHeaders, body: CheckoutRequest, response: { 202: CheckoutAccepted } },
    },
    async (request, reply) => {
      const { orders, retryAfterSeconds } = checkoutOf(deps);
      const key = customerKeyOf(request);
      const result = await withAnswers(retryAfterSeconds, () =>
        orders.take(deps.callerOf(request), key, request.body),
      );
      if (result.type === 'other_parameters')
        throw problem(
          422,
          'checkout.other_parameters',
          'this Idempotency-Key was used with other parameters',
        );
      const { checkoutId, replayed } = result;
      if (replayed) void reply.header('idempotency-replayed', 'true');
      return reply.code(202).header('location', statusUrlOf(checkoutId)).send(acceptedOf(checkoutId));
    },
  );
}

function readRoutes(app: HttpApp, deps: CheckoutRouteDeps, { config, onRequest }: Common): void {
  app.get(
    '/v1/checkouts/:checkoutId',
    { config, onRequest, schema: { params: Params, response: { 200: CheckoutView } } },
    async (request) => viewOf(await find(deps, request, request.params.checkoutId)),
  );
  app.get(
    '/v1/checkouts',
    { config, onRequest, schema: { querystring: ListQuery, response: { 200: CheckoutPage } } },
    async (request) => {
      const { store, retryAfterSeconds } = checkoutOf(deps);
      const { limit = pageRowsDefault, cursor, status } = request.query;
      const rows = await withAnswers(retryAfterSeconds, () =>
        store.list({
          caller: deps.callerOf(request),
          limit,
          ...(cursor === undefined ? {} : { beforeId: idOf(cursor) }),
          ...(status === undefined ? {} : { status }),
        }),
      );
      const page = pageOf(rows, limit, ({ id }) => [id]);
      return { items: page.items.map(viewOf), next: page.next };
    },
  );
}

function eventRoute(app: HttpApp, deps: CheckoutRouteDeps, { config, onRequest }: Common): void {
  app.get(
    '/v1/checkouts/:checkoutId/events',
    // Without HEAD: no client would read its stream, and nothing would close it.
    {
      config,
      onRequest,
      exposeHeadRoute: false,
      schema: { params: Params, response: eventResponses },
    },
    async (request, reply) => {
      const { streams, retryAfterSeconds } = checkoutOf(deps);
      const found = await find(deps, request, request.params.checkoutId);
      // A client that has seen the last event must not reconnect (HTML, "server-sent events": 204
      // ends reconnection).
      if (found.status !== 'accepted' && request.headers['last-event-id'] === lastEventId)
        return reply.code(204).send();
      const stream = streams.open(deps.callerOf(request), found);
      if (typeof stream === 'string') throw tooMany(stream, retryAfterSeconds);
      return reply
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        .type('text/event-stream')
        .send(stream);
    },
  );
}

function tooMany(which: TooMany, retryAfterSeconds: number): HttpError {
  const options = { retryAfterSeconds };
  return which === 'streams'
    ? problem(503, 'checkout.too_many_streams', 'too many event streams are open', options)
    : problem(
        429,
        'checkout.too_many_streams_of_key',
        'too many event streams of this API key are open',
        options,
      );
}

/**
 * The id in the cursor of a list.
 * @throws HttpError 400
 */
function idOf(cursor: string): number {
  return decodeCursor<[number]>(cursor, ['integer'])[0];
}

async function find(deps: CheckoutRouteDeps, request: HttpRequest, checkoutId: string) {
  const { store, retryAfterSeconds } = checkoutOf(deps);
  const found = await withAnswers(retryAfterSeconds, () => store.find(deps.callerOf(request), checkoutId));
  if (found === undefined) throw problem(404, 'checkout.unknown', 'no checkout with this id');
  return found;
}

const keyHeader = { param: 'idempotency-key', in: 'header' } as const;

function customerKeyOf(request: HttpRequest): string {
  const header = request.headers['idempotency-key'];
  if (header === undefined || header === '')
    throw problem(
      400,
      'checkout.missing_key',
      'send a key of your own in the header Idempotency-Key: the same key is the same checkout',
      keyHeader,
    );
  if (typeof header !== 'string' || !isCustomerKey(header))
    throw problem(
      400,
      'checkout.bad_key',
      'Idempotency-Key must be 1–128 visible ASCII characters',
      keyHeader,
    );
  return header;
}

/** @throws HttpError 503 if the checkout is switched off */
function checkoutOf({ checkout }: CheckoutRouteDeps): Checkout {
  if (checkout !== undefined) return checkout;
  throw problem(503, 'checkout.off', 'this gateway has no checkout: see its settings', {
    retryAfterSeconds: offRetryAfterSeconds,
  });
}

/** @throws HttpError 503 if no order can be taken now */
function readyCheckout(deps: CheckoutRouteDeps): Checkout {
  const checkout = checkoutOf(deps);
  const unavailable = checkout.unavailable();
  if (unavailable === undefined) return checkout;
  throw problem(503, unavailable.code, `${unavailable.detail}: ask again with the same Idempotency-Key`, {
    retryAfterSeconds: checkout.retryAfterSeconds,
  });
}
