import {
  parseTimeText,
  PaymentPage,
  PaymentRequest,
  PaymentView,
  transactionIdPattern,
} from '@thermomesh/contracts';
import { decodeCursor, HttpError, pageOf, type HttpApp } from '@thermomesh/runtime';
import Type from 'typebox';
import type { BillingErrorCode } from '../../core/errors.ts';
import type { RouteDeps } from '../deps.ts';

/** Maximum number of rows in one response, and the number without `limit`. */
const pageRowsMax = 1_000;
const pageRowsDefault = 100;
const Instant = (description: string) =>
  Type.Optional(
    Type.String({ maxLength: 40, description: `${description} RFC 3339 with a zone, or Unix ms.` }),
  );

const ListQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: pageRowsMax, description: `Default ${pageRowsDefault}.` }),
    ),
    cursor: Type.Optional(Type.String({ maxLength: 200, description: '`next` of the previous page.' })),
    status: Type.Optional(
      Type.Union([Type.Literal('pending'), Type.Literal('charged'), Type.Literal('declined')]),
    ),
    payer: Type.Optional(PaymentRequest.properties.payer),
    from: Instant('Created at or after this time.'),
    to: Instant('Created before this time.'),
  },
  { additionalProperties: false },
);

/** Adds the routes that show the state of the caller's own payments, newest first. */
export function paymentRoutes(app: HttpApp, { queries, callerOf }: RouteDeps): void {
  app.get(
    '/v1/payments/:transactionId',
    {
      schema: {
        params: Type.Object({ transactionId: Type.String({ pattern: transactionIdPattern }) }),
        response: { 200: PaymentView },
      },
    },
    async (request) => {
      const transactionId = request.params.transactionId.toLowerCase();
      const payment = await queries.payment({ caller: callerOf(request), transactionId });
      if (payment === undefined)
        throw new HttpError(404, 'payments.unknown' satisfies BillingErrorCode, 'no payment with this id');
      return payment;
    },
  );

  app.get(
    '/v1/payments',
    { schema: { querystring: ListQuery, response: { 200: PaymentPage } } },
    async (request) => {
      const { limit = pageRowsDefault, cursor, status, payer, from, to } = request.query;
      const rows = await queries.payments({
        caller: callerOf(request),
        limit,
        ...(cursor === undefined ? {} : { beforeId: decodeCursor<[number]>(cursor, ['integer'])[0] }),
        ...(status === undefined ? {} : { status }),
        ...(payer === undefined ? {} : { payer }),
        ...(from === undefined ? {} : { fromMs: instant('from', from) }),
        ...(to === undefined ? {} : { toMs: instant('to', to) }),
      });
      return pageOf(rows, limit, (last) => [last.id]);
    },
  );
}

function instant(name: string, text: string): number {
  const parsed = parseTimeText(text);
  if ('ms' in parsed) return parsed.ms;
  throw new HttpError(400, 'http.bad_instant' satisfies BillingErrorCode, `${name} ${parsed.problem}`, {
    param: name,
    in: 'query',
  });
}
