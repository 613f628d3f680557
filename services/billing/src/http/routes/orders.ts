import {
  parseTransactionId,
  PaymentRequest,
  RefundRequest,
  transactionIdPattern,
} from '@thermomesh/contracts';
import { HttpError, type HttpApp, type HttpReply, type HttpRequest } from '@thermomesh/runtime';
import Type from 'typebox';
import type { BillingErrorCode } from '../../core/errors.ts';
import type { Order } from '../../core/operation.ts';
import type { AskResult } from '../../payments.ts';
import type { RouteDeps } from '../deps.ts';

const PaymentParams = Type.Object({ transactionId: Type.String({ pattern: transactionIdPattern }) });

/**
 * Adds the routes of payments and refunds. The first answer is 201; a replay has the same bytes and
 * the header `Idempotency-Replayed: true`.
 */
export function orderRoutes(app: HttpApp, deps: RouteDeps): void {
  const config = { access: 'checkout' } as const;
  app.post('/v1/payments', { config, schema: { body: PaymentRequest } }, async (request, reply) =>
    answer(deps, request, reply, { kind: 'charge', ...request.body }),
  );
  app.post(
    '/v1/payments/:transactionId/refunds',
    { config, schema: { params: PaymentParams, body: RefundRequest } },
    async (request, reply) =>
      answer(deps, request, reply, {
        kind: 'refund',
        paymentId: request.params.transactionId.toLowerCase(),
        ...request.body,
      }),
  );
}

async function answer(
  deps: RouteDeps,
  request: HttpRequest,
  reply: HttpReply,
  order: Order,
): Promise<HttpReply> {
  const key = { caller: deps.callerOf(request), transactionId: transactionIdOf(request) };
  const result = await deps.payments.ask(key, order);
  if (result.type !== 'answered') throw refusal(deps, reply, result);
  const { body, replayed } = result;
  if (replayed) void reply.header('idempotency-replayed', 'true');
  deps.metrics.answers.inc({
    status: (JSON.parse(body) as { status: string }).status,
    replayed: String(replayed),
  });
  return reply.code(201).type('application/json; charset=utf-8').send(body);
}

const keyHeader = { param: 'idempotency-key', in: 'header' } as const;

function transactionIdOf(request: HttpRequest): string {
  const header = request.headers['idempotency-key'];
  if (header === undefined || header === '')
    throw new HttpError(
      400,
      'payments.missing_key' satisfies BillingErrorCode,
      'send the transaction UUID in the header Idempotency-Key: create and store it before the first call',
      keyHeader,
    );
  const transactionId = typeof header === 'string' ? parseTransactionId(header) : undefined;
  if (transactionId === undefined)
    throw new HttpError(
      400,
      'payments.bad_key' satisfies BillingErrorCode,
      'Idempotency-Key must be one UUID',
      keyHeader,
    );
  return transactionId;
}

function refusal(
  { retryAfterSeconds }: RouteDeps,
  reply: HttpReply,
  result: Exclude<AskResult, { type: 'answered' }>,
): HttpError {
  const reason = result.type === 'not_refundable' ? result.why : result.type;
  const refuse = (status: number, code: BillingErrorCode, message: string) =>
    new HttpError(status, code, message);
  switch (reason) {
    case 'refused':
      return refuse(422, 'payments.other_parameters', 'this Idempotency-Key was used with other parameters');
    case 'running':
      void reply.header('retry-after', String(retryAfterSeconds));
      return refuse(
        409,
        'payments.running',
        'this payment is still running: ask again with the same Idempotency-Key',
      );
    case 'retired':
      return refuse(
        410,
        'payments.retired',
        'this Idempotency-Key was used, and its answer is no longer kept',
      );
    case 'unknown_payment':
      return refuse(404, 'payments.unknown', 'no payment with this id');
    case 'pending':
      void reply.header('retry-after', String(retryAfterSeconds));
      return refuse(409, 'refunds.payment_running', 'the payment is still running');
    case 'not_charged':
      return refuse(422, 'refunds.not_charged', 'the payment was declined: there is nothing to refund');
    case 'exceeds':
      return refuse(422, 'refunds.exceeds', 'the refunds of this payment would exceed its amount');
  }
}
