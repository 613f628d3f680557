/**
 * The usual recipe for idempotent payments: one database transaction a request, held open from the
 * claim of the key through the charge to the answer. It has the same HTTP stack, tables, books and
 * number of connections as billing. It is safe as long as no process dies after a charge.
 */
import { createHash } from 'node:crypto';
import { parseTransactionId, PaymentRequest } from '@thermomesh/contracts';
import {
  createCallerGatekeeper,
  createHealth,
  createHttpApp,
  createLog,
  createMetrics,
  HttpError,
  listen,
} from '@thermomesh/runtime';
import { openSession, type SqlSession } from '@thermomesh/sql';
import { serve } from '../../children/serve.ts';
import { createCharger, type Charge, type Charger } from './charger.ts';

export interface OneTransactionArgs {
  databaseUrl: string;
  connections: number;
  meshSecret: string;
  processorUrl: string;
  processorToken: string;
}

const caller = 'gateway';
const claim = `INSERT INTO operations (caller, transaction_id, kind, payer, amount_minor, currency, fingerprint, processor_key, phase, holder, lease_until)
  VALUES ($1, $2, 'charge', $3, $4, $5, $6, $7, 'charging', 'one-transaction', clock_timestamp()) ON CONFLICT DO NOTHING RETURNING id`;
const known = 'SELECT fingerprint, answer_body FROM operations WHERE caller = $1 AND transaction_id = $2';
const finish = 'SELECT finish_operation($1, $2, 1, $3, $4, $5, $6) AS done';
/** Longer than any charge: a transaction waits for its charge, and no session limit may end it. */
const sessionTimeoutMs = 60_000;

serve({
  async start({ databaseUrl, connections, meshSecret, processorUrl, processorToken }: OneTransactionArgs) {
    const sessions = await Promise.all(
      Array.from({ length: connections }, async () =>
        openSession({
          url: databaseUrl,
          applicationName: 'bench-one-transaction',
          connectTimeoutMs: 5_000,
          statementTimeoutMs: sessionTimeoutMs,
          lockTimeoutMs: sessionTimeoutMs,
          idleInTransactionTimeoutMs: sessionTimeoutMs,
        }),
      ),
    );
    const lend = createLender(sessions);
    const charger = createCharger(processorUrl, processorToken);
    const app = await createHttpApp({
      title: 'One transaction a request',
      version: '1',
      log: createLog('one-transaction', 'warn'),
      health: createHealth(),
      metrics: createMetrics(),
      gatekeeper: createCallerGatekeeper(meshSecret, { [caller]: ['read', 'checkout'] }),
    });
    app.post(
      '/v1/payments',
      { config: { access: 'checkout' }, schema: { body: PaymentRequest } },
      async (request, reply) => {
        const key = parseTransactionId(String(request.headers['idempotency-key']));
        if (key === undefined)
          throw new HttpError(400, 'payments.bad_key', 'Idempotency-Key must be one UUID');
        const { body, replayed } = await lend(async (session) => pay(session, charger, key, request.body));
        if (replayed) void reply.header('idempotency-replayed', 'true');
        return reply.code(201).type('application/json; charset=utf-8').send(body);
      },
    );
    return Number(new URL(await listen(app, '127.0.0.1', 0)).port);
  },
});

/** Lends each caller a session; callers wait for a free one in the order of their arrival. */
function createLender(sessions: readonly SqlSession[]) {
  const free = [...sessions];
  const waiting: ((session: SqlSession) => void)[] = [];
  return async function lend<T>(work: (session: SqlSession) => Promise<T>): Promise<T> {
    const session = free.pop() ?? (await new Promise<SqlSession>((resolve) => waiting.push(resolve)));
    try {
      return await work(session);
    } finally {
      const next = waiting.shift();
      if (next === undefined) free.push(session);
      else next(session);
    }
  };
}

async function pay(
  session: SqlSession,
  charger: Charger,
  key: string,
  order: PaymentRequest,
): Promise<{ body: string; replayed: boolean }> {
  const { payer, amountMinor, currency } = order;
  const fingerprint = createHash('sha256').update(JSON.stringify(order)).digest();
  await session.query('BEGIN');
  try {
    const values = [caller, key, payer, amountMinor, currency, fingerprint, processorKeyOf(key)];
    const claimed = await session.query(claim, values, 'claim');
    if (claimed.length === 0) {
      const [row] = await session.query<{ fingerprint: Buffer; answer_body: string }>(
        known,
        [caller, key],
        'known',
      );
      await session.query('COMMIT');
      if (row === undefined || !row.fingerprint.equals(fingerprint))
        throw new HttpError(422, 'payments.other_parameters', 'this key was used with other parameters');
      return { body: row.answer_body, replayed: true };
    }
    const charge = await charger(processorKeyOf(key), order);
    const body = JSON.stringify(answerOf(key, order, charge));
    await session.query(finish, [caller, key, charge.status, charge.id, charge.reason, body], 'finish');
    await session.query('COMMIT');
    return { body, replayed: false };
  } catch (error) {
    // Harmless after a COMMIT.
    await session.query('ROLLBACK');
    throw error;
  }
}

function processorKeyOf(key: string): string {
  return `one-transaction_${key}`;
}

function answerOf(
  transactionId: string,
  { payer, amountMinor, currency }: PaymentRequest,
  { status, id, reason }: Charge,
) {
  const answeredAt = new Date().toISOString();
  return { transactionId, status, payer, amountMinor, currency, processorReference: id, reason, answeredAt };
}
