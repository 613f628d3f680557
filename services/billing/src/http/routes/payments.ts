import { PaymentPage, PaymentRequest, PaymentView, transactionIdPattern } from '@thermomesh/contracts';
import { decodeCursor, HttpError, pageOf, type HttpApp } from '@thermomesh/runtime';
import Type from 'typebox';
import type { RouteDeps } from '../app.ts';

/** Rows of one answer at most, and if the caller does not say. */
const pageRowsMax = 1_000;
const pageRowsDefault = 100;
const Instant = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: 253_402_300_799_999, description }));

const ListQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: pageRowsMax, description: `${pageRowsDefault} if left out` }),
    ),
    cursor: Type.Optional(Type.String({ maxLength: 200, description: '`next` of the page before' })),
    status: Type.Optional(
      Type.Union([Type.Literal('pending'), Type.Literal('charged'), Type.Literal('declined')]),
    ),
    payer: Type.Optional(PaymentRequest.properties.payer),
    from: Instant('created at or after, Unix ms'),
    to: Instant('created before, Unix ms'),
  },
  { additionalProperties: false },
);

/** Where payments stand: the caller's own, newest first. */
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
      if (payment === undefined) throw new HttpError(404, 'payments.unknown', 'no payment with this id');
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
        ...(from === undefined ? {} : { fromMs: from }),
        ...(to === undefined ? {} : { toMs: to }),
      });
      return pageOf(rows, limit, (last) => [last.id]);
    },
  );
}
