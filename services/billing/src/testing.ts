/** Helpers of billing's integration tests: a card processor, replicas in this process, calls. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createLog, deriveToken, subjects } from '@thermomesh/runtime';
import { readBillingConfig, settingsOf } from './config.ts';
import { createService, type BillingService } from './service.ts';

export const meshSecret = 'the mesh secret, at least thirty-two characters';
export const billingSecret = 'billing’s secret, at least thirty-two characters';
export const processorSecret = 'the processor’s, at least thirty-two characters';

/** An entry of the processor's ledger. */
export interface LedgerEntry {
  key: string;
  kind: 'charge' | 'refund';
  status: 'charged' | 'refunded' | 'declined';
  amountMinor: number;
}

/** The stand-in apps/card-processor as a process. */
export interface TestProcessor {
  readonly url: string;
  faults(plan: object): Promise<void>;
  ledger(): Promise<LedgerEntry[]>;
  stop(): Promise<void>;
}

const main = path.resolve(import.meta.dirname, '../../../apps/card-processor/src/main.ts');

/** Starts a card processor with an empty ledger. @param inherited the environment of the test */
export async function startProcessor(inherited: NodeJS.ProcessEnv): Promise<TestProcessor> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-billing-'));
  const child: ChildProcess = fork(main, {
    env: {
      ...inherited,
      DATA_DIR: folder,
      PROCESSOR_SECRET: processorSecret,
      HTTP_PORT: '0',
      LOG_LEVEL: 'silent',
    },
  });
  const [message] = (await once(child, 'message')) as [{ httpPort: number }];
  const url = `http://127.0.0.1:${message.httpPort}`;
  const headers = {
    authorization: `Bearer ${deriveToken(processorSecret, subjects.operator)}`,
    'content-type': 'application/json',
  };
  return {
    url,
    async faults(plan) {
      const response = await fetch(`${url}/v1/faults`, {
        method: 'PUT',
        headers,
        body: JSON.stringify(plan),
      });
      if (!response.ok) throw new Error(await response.text());
    },
    async ledger() {
      const response = await fetch(`${url}/v1/ledger`, { headers });
      return ((await response.json()) as { entries: LedgerEntry[] }).entries;
    },
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

/**
 * Settings of a replica with short leases and pauses, which waits long for the database and for
 * answers because the machine of a test may be slow.
 */
export function quickSettings(databaseUrl: string, processorUrl: string): Record<string, string> {
  return {
    MESH_SECRET: meshSecret,
    BILLING_SECRET: billingSecret,
    PROCESSOR_SECRET: processorSecret,
    PROCESSOR_URL: processorUrl,
    DATABASE_URL: databaseUrl,
    CALLERS: 'gateway,shop',
    HTTP_PORT: '0',
    LOG_LEVEL: 'silent',
    PROCESSOR_TIMEOUT_MS: '300',
    PROCESSOR_PAUSE_MS: '20',
    LEASE_MS: '600',
    SWEEP_INTERVAL_MS: '50',
    DOUBT_PAUSE_MS: '50',
    SQL_CONNECT_TIMEOUT_MS: '20000',
    SQL_STATEMENT_TIMEOUT_MS: '20000',
    ANSWER_WAIT_MS: '12000',
    ANSWER_POLL_MS: '10',
  };
}

/** Starts a replica in this process. */
export async function startReplica(
  settings: Record<string, string>,
): Promise<BillingService & { url: string }> {
  const config = readBillingConfig(settings);
  const service = await createService(settingsOf(config), createLog(config.REPLICA, config.LOG_LEVEL));
  await service.start();
  return Object.assign(service, { url: `http://127.0.0.1:${service.httpPort}` });
}

export interface CallAnswer {
  status: number;
  text: string;
  replayed: boolean;
  retryAfter: string | null;
  body: Record<string, unknown>;
}

/** Makes one raw HTTP call, without the retries of libs/billing-client. */
export async function call(
  url: string,
  options: {
    method?: string;
    route?: string;
    key?: string;
    caller?: string;
    body?: unknown;
    /** Sent unchanged instead of `body`. */
    raw?: string;
    timeoutMs?: number;
  },
): Promise<CallAnswer> {
  const { method = 'POST', route = '/v1/payments', key, caller = 'gateway', body } = options;
  const raw = options.raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await fetch(url + route, {
    method,
    headers: {
      authorization: `Bearer ${deriveToken(meshSecret, subjects.service(caller))}`,
      ...(raw === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
    ...(raw === undefined ? {} : { body: raw }),
    signal: AbortSignal.timeout(options.timeoutMs ?? 60_000),
  });
  const text = await response.text();
  return {
    status: response.status,
    text,
    replayed: response.headers.get('idempotency-replayed') === 'true',
    retryAfter: response.headers.get('retry-after'),
    body: JSON.parse(text) as Record<string, unknown>,
  };
}
