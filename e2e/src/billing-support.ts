/** Starts billing for one test file: PostgreSQL, card processor and two replicas, as processes. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { freeLastingPort, sqlPatience, testPostgres, type TestPostgres } from '@thermomesh/servers';
import { createPool, type SqlPool } from '@thermomesh/sql';
import { managedProcess, migrate, type ManagedProcess } from './process-support.ts';

/** The secret of this name, which the processes of a test share. */
export const secret = (name: string): string => `the ${name} secret of an end-to-end test`;
const processorToken = `Bearer ${deriveToken(secret('processor'), subjects.operator)}`;

/** The token that the gateway's own client of billing would use. */
export const callerToken = deriveToken(secret('mesh'), subjects.service('gateway'));

/** What one call to billing resulted in; status 0 if it got no answer. */
export interface Answer {
  status: number;
  text: string;
}

/** The card processor or a replica of billing. Its address stays the same across restarts. */
export interface Member extends ManagedProcess {
  name: string;
  url: string;
  port: number;
}

/** The running processes, and what a test reads and changes of them. */
export interface Billing {
  folder: string;
  postgres: TestPostgres;
  sql: SqlPool;
  processor: Member;
  replicas: [Member, Member];
  /** Replaces the fault plan of the card processor. */
  faults(plan: object): Promise<void>;
  /** The number of charges that the processor has made for this transaction UUID. */
  charges(transactionId: string): Promise<number>;
  remove(): Promise<void>;
}

/** Starts all processes of billing and waits until each is ready. */
export async function startBilling(): Promise<Billing> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-billing-'));
  const postgres = await testPostgres();
  const databaseUrl = postgres.server.url;
  await migrate('billing', databaseUrl);
  const processor = await member('card-processor', 'apps/card-processor/src/main.ts', {
    DATA_DIR: path.join(folder, 'processor'),
    PROCESSOR_SECRET: secret('processor'),
  });
  const settings = {
    DATABASE_URL: databaseUrl,
    MESH_SECRET: secret('mesh'),
    BILLING_SECRET: secret('billing'),
    PROCESSOR_SECRET: secret('processor'),
    PROCESSOR_URL: processor.url,
    PROCESSOR_TIMEOUT_MS: '500',
    PROCESSOR_PAUSE_MS: '50',
    LEASE_MS: '1000',
    SWEEP_INTERVAL_MS: '100',
    DOUBT_PAUSE_MS: '100',
  };
  const main = 'services/billing/src/main.ts';
  const replicas: [Member, Member] = [
    await member('billing-1', main, { ...settings, REPLICA: 'billing-1' }),
    await member('billing-2', main, { ...settings, REPLICA: 'billing-2' }),
  ];
  await Promise.all([processor, ...replicas].map((one) => one.start()));
  const sql = createPool({ ...sqlPatience, url: databaseUrl, applicationName: 'billing-e2e' });
  const headers = { authorization: processorToken, 'content-type': 'application/json' };
  return {
    folder,
    postgres,
    sql,
    processor,
    replicas,
    async faults(plan) {
      const body = JSON.stringify(plan);
      const response = await fetch(`${processor.url}/v1/faults`, { method: 'PUT', headers, body });
      if (!response.ok) throw new Error(await response.text());
    },
    async charges(transactionId) {
      const response = await fetch(`${processor.url}/v1/ledger`, { headers });
      const { entries } = (await response.json()) as { entries: { key: string; status: string }[] };
      const key = processorKey(transactionId);
      return entries.filter((entry) => entry.key === key && entry.status === 'charged').length;
    },
    async remove() {
      await Promise.all([processor, ...replicas].map((one) => one.signal('SIGKILL')));
      await sql.close();
      await postgres.remove();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/**
 * The key that billing gives the processor for a transaction. The test computes it without
 * billing's code, because a verifier that asked billing would trust what it has to check.
 */
function processorKey(transactionId: string): string {
  const text = JSON.stringify(['thermomesh.billing', 'gateway', 'charge', transactionId]);
  return `tm_${createHash('sha256').update(text).digest('base64url')}`;
}

async function member(name: string, main: string, settings: Record<string, string>): Promise<Member> {
  const port = await freeLastingPort();
  const handle = managedProcess({
    name,
    main,
    settings: { LOG_LEVEL: 'silent', HTTP_PORT: String(port), ...settings },
    output: 'inherited',
  });
  return { ...handle, name, port, url: `http://127.0.0.1:${port}` };
}

/** The parameters of every payment in these tests. */
export const order = { payer: 'alice', amountMinor: 1_250, currency: 'EUR', paymentToken: 'tok_4242' };

/** Calls once, without a retry. A call that fails resolves with status 0. */
export async function callOnce(url: string, transactionId: string): Promise<Answer> {
  try {
    const response = await fetch(`${url}/v1/payments`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${callerToken}`,
        'content-type': 'application/json',
        'idempotency-key': transactionId,
      },
      body: JSON.stringify(order),
      signal: AbortSignal.timeout(15_000),
    });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    return { status: 0, text: String(error) };
  }
}

/**
 * Calls the replicas in turn until one gives a final answer.
 * @throws Error for a refusal that no retry changes, or if there is no final answer within 60 s
 */
export async function callUntilFinal(urls: readonly string[], transactionId: string): Promise<Answer> {
  const deadlineMs = Date.now() + 60_000;
  for (let turn = 0; ; turn++) {
    const answer = await callOnce(urls[turn % urls.length] ?? '', transactionId);
    if (answer.status === 201) return answer;
    if (answer.status >= 400 && ![409, 503].includes(answer.status))
      throw new Error(`no final answer, but ${answer.status}: ${answer.text}`);
    if (Date.now() > deadlineMs)
      throw new Error(`no final answer in time; the last was ${answer.status}: ${answer.text}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export const newId = (): string => randomUUID();
