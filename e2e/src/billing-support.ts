/** A billing of the test's own: PostgreSQL, card processor and two replicas as real processes. */
import { fork, type ChildProcess } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { freeLastingPort, sqlPatience, testPostgres, type TestPostgres } from '@thermomesh/servers';
import { createPool, type SqlPool } from '@thermomesh/sql';

const repository = path.resolve(import.meta.dirname, '../..');
const secret = (name: string) => `the ${name} secret of an end-to-end test`;
const processorToken = `Bearer ${deriveToken(secret('processor'), subjects.operator)}`;

/** What the gateway's stub would use. */
export const callerToken = deriveToken(secret('mesh'), subjects.service('gateway'));

export interface Answer {
  status: number;
  text: string;
}

/** One process that keeps its address. */
export interface Member {
  name: string;
  url: string;
  port: number;
  start(env?: Record<string, string>): Promise<void>;
  /** Resolves when the process has ended. */
  signal(name: NodeJS.Signals): Promise<void>;
  /** Settles when the process that runs now has ended, whoever ended it. */
  ended(): Promise<void>;
}

export interface Billing {
  folder: string;
  postgres: TestPostgres;
  sql: SqlPool;
  processor: Member;
  replicas: [Member, Member];
  faults(plan: object): Promise<void>;
  /** Charges that the processor has made for this transaction UUID of the gateway. */
  charges(transactionId: string): Promise<number>;
  remove(): Promise<void>;
}

export async function startBilling(): Promise<Billing> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-billing-'));
  const postgres = await testPostgres();
  const databaseUrl = postgres.server.url;
  const migration = fork(path.join(repository, 'services/billing/src/migrate.ts'), {
    env: { ...process.env, DATABASE_URL: databaseUrl },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [code] = (await once(migration, 'exit')) as [number];
  if (code !== 0) throw new Error(`the migration ended with ${code}`);
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

/** Written down apart from billing's own code: a verifier that asked billing would believe what it is to check. */
function processorKey(transactionId: string): string {
  const text = JSON.stringify(['thermomesh.billing', 'gateway', 'charge', transactionId]);
  return `tm_${createHash('sha256').update(text).digest('base64url')}`;
}

async function member(name: string, main: string, settings: Record<string, string>): Promise<Member> {
  const port = await freeLastingPort();
  let child: ChildProcess | undefined;
  const isOver = () => child === undefined || child.exitCode !== null || child.signalCode !== null;
  return {
    name,
    port,
    url: `http://127.0.0.1:${port}`,
    async start(env = {}) {
      const started = fork(path.join(repository, main), {
        env: { ...process.env, LOG_LEVEL: 'silent', HTTP_PORT: String(port), ...settings, ...env },
      });
      child = started;
      const failed = once(started, 'exit').then(() => {
        throw new Error(`${name} ended before it was ready`);
      });
      // An end that comes later is the test's own doing.
      failed.catch(() => undefined);
      await Promise.race([once(started, 'message'), failed]);
    },
    async signal(signal) {
      if (child === undefined || isOver()) return;
      const ends = signal === 'SIGKILL' || signal === 'SIGTERM' ? once(child, 'exit') : undefined;
      child.kill(signal);
      await ends;
    },
    async ended() {
      if (child !== undefined && !isOver()) await once(child, 'exit');
    },
  };
}

/** A payment's parameters. */
export const order = { payer: 'alice', amountMinor: 1_250, currency: 'EUR', paymentToken: 'tok_4242' };

/** One raw call, whose failure is an answer too: status 0. */
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

/** Calls again, at the replicas in turn, until there is a final answer. */
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
