import { setTimeout as delay } from 'node:timers/promises';
import { HttpError, type HttpApp, type HttpReply } from '@thermomesh/runtime';
import Type from 'typebox';
import type { Entry } from '../../core/book.ts';
import type { ProcessorErrorCode } from '../../core/errors.ts';
import type { FaultName } from '../../core/faults.ts';
import type { Order } from '../../processor.ts';
import type { RouteDeps } from '../deps.ts';
import { ChargeBody, EntryDocument, KeyHeader, RefundBody } from '../schemas.ts';

/** Adds the routes of charges and refunds, and of the ledger for verifiers. */
export function chargeRoutes(app: HttpApp, deps: RouteDeps): void {
  const access = { access: 'checkout' } as const;
  app.post(
    '/v1/charges',
    { config: access, schema: { body: ChargeBody, headers: KeyHeader } },
    async (request, reply) =>
      execute(deps, reply, request.headers['idempotency-key'], { kind: 'charge', ...request.body }),
  );
  app.post(
    '/v1/refunds',
    { config: access, schema: { body: RefundBody, headers: KeyHeader } },
    async (request, reply) =>
      execute(deps, reply, request.headers['idempotency-key'], { kind: 'refund', ...request.body }),
  );
  app.get(
    '/v1/charges/:key',
    { schema: { params: Type.Object({ key: Type.String() }), response: { 200: EntryDocument } } },
    async ({ params }) => {
      const entry = deps.processor.book.byKey(params.key);
      if (entry === undefined)
        throw new HttpError(
          404,
          'charges.unknown_key' satisfies ProcessorErrorCode,
          'nothing is known under this key',
        );
      return documentOf(entry);
    },
  );
  app.get(
    '/v1/ledger',
    { schema: { response: { 200: Type.Object({ entries: Type.Array(EntryDocument) }) } } },
    async () => ({ entries: deps.processor.book.entries.map(documentOf) }),
  );
}

/** Carries out one order, with the fault that is drawn for it. */
async function execute(deps: RouteDeps, reply: HttpReply, key: string | undefined, order: Order) {
  const { processor, faults, log } = deps;
  if (key === undefined || key === '')
    throw new HttpError(
      400,
      'charges.missing_key' satisfies ProcessorErrorCode,
      'send the header Idempotency-Key',
      { param: 'idempotency-key', in: 'header' },
    );
  const { delayMs, idempotency } = faults.plan;
  const fault = faults.draw();
  // The fields are named one by one, so that nothing of the card is logged.
  const { kind, amountMinor, currency } = order;
  log.debug({ event: 'order.received', key, kind, amountMinor, currency, fault: fault ?? null });
  if (fault !== undefined && (await endsBefore(deps, reply, fault, delayMs))) return reply;
  const { entry, replayed } = await processor.execute(key, order, {
    decline: fault === 'decline',
    idempotency,
  });
  if (fault === 'crash-after') deps.crash();
  if (fault === 'drop-reply' || fault === 'crash-after') return breakConnection(reply);
  if (replayed) void reply.header('idempotency-replayed', 'true');
  return reply.code(201).send(documentOf(entry));
}

/** Injects the fault that comes before the charge. Returns true if there will be no charge. */
async function endsBefore(
  { crash, stopping }: RouteDeps,
  reply: HttpReply,
  fault: FaultName,
  delayMs: number,
): Promise<boolean> {
  switch (fault) {
    case 'refuse':
      throw new HttpError(
        503,
        'charges.refused' satisfies ProcessorErrorCode,
        'the processor takes no charges now',
      );
    case 'hang':
      reply.hijack();
      return true;
    case 'crash-before':
      crash();
      breakConnection(reply);
      return true;
    case 'drop-request':
      breakConnection(reply);
      return true;
    case 'delay':
      await delay(delayMs, undefined, { signal: stopping });
      return false;
    default:
      return false;
  }
}

function breakConnection(reply: HttpReply): HttpReply {
  reply.hijack();
  reply.raw.destroy();
  return reply;
}

/** Returns the entry without its fingerprint, which covers the payment token. */
function documentOf({ fingerprint: _fingerprint, ...entry }: Entry) {
  return entry;
}
