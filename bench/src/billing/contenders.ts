/**
 * The two designs. Each has its own database and its own callers; both use one card processor.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { createPool, type SqlPool } from '@thermomesh/sql';
import { childEnvironment, repository } from '../config.ts';
import { startCallee, startProgram, type Callee } from '../parts/child.ts';
import type { Watched } from '../parts/cpu.ts';
import { postgresPids, type World } from '../parts/world.ts';
import type { ConnectArgs } from './children/callers.ts';
import type { OneTransactionArgs } from './children/one-transaction.ts';
import type { BillingPlan } from './plan.ts';

const host = '127.0.0.1';

/** A line of the processor's ledger. */
export interface LedgerEntry {
  key: string;
  kind: string;
  status: string;
}

export interface CardProcessor {
  readonly url: string;
  readonly pid: number;
  readonly token: string;
  /** Sets how long each charge takes from now on. */
  delay(delayMs: number): Promise<void>;
  ledger(): Promise<LedgerEntry[]>;
}

/** Starts the stand-in card processor. */
export async function startProcessor(world: World): Promise<CardProcessor> {
  const secret = secretOf(world, 'processor');
  const running = await startProgram(world.scope, {
    name: 'card-processor',
    script: 'apps/card-processor/src/main.ts',
    logFile: path.join(world.folder, 'card-processor.log'),
    env: {
      DATA_DIR: path.join(world.folder, 'card-processor'),
      PROCESSOR_SECRET: secret,
      HTTP_PORT: '0',
      LOG_LEVEL: 'warn',
    },
  });
  const url = `http://${host}:${(running.ready as { httpPort?: number }).httpPort}`;
  const token = deriveToken(secret, subjects.operator);
  const ask = async (method: string, route: string, body?: unknown) => {
    const response = await fetch(url + route, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${route} answered ${response.status}`);
    return response.json();
  };
  return {
    url,
    token,
    pid: running.pid,
    delay: async (delayMs) => void (await ask('PUT', '/v1/faults', { rates: { delay: 1 }, delayMs })),
    ledger: async () => ((await ask('GET', '/v1/ledger')) as { entries: LedgerEntry[] }).entries,
  };
}

export interface Contender {
  readonly name: 'billing' | 'one-transaction';
  readonly callers: Callee;
  readonly pool: SqlPool;
  readonly watched: Watched;
}

/** Starts both designs and their callers. */
export async function startContenders(
  world: World,
  processor: CardProcessor,
  plan: BillingPlan,
): Promise<[Contender, Contender]> {
  const databases = await Promise.all([
    createDatabase(world, 'billing'),
    createDatabase(world, 'one_transaction'),
  ]);
  const [billing, other] = await Promise.all([
    startBilling(world, processor, plan, databases[0].url),
    startOneTransaction(world, processor, plan, databases[1].url),
  ]);
  const contender = async (
    name: Contender['name'],
    pool: SqlPool,
    { port, pid }: { port: number; pid: number },
  ) => {
    const callers = await startCallee(world.scope, child(world, `callers-${name}`, 'callers'));
    const token = deriveToken(secretOf(world, 'mesh'), subjects.service('gateway'));
    await callers.call('connect', { host, port, concurrent: plan.concurrent, token } satisfies ConnectArgs);
    const watched: Watched = {
      [name]: () => [pid],
      processor: () => [processor.pid],
      ...postgresPids(world),
      callers: () => [callers.pid],
    };
    return { name, callers, pool, watched };
  };
  return Promise.all([
    contender('billing', databases[0].pool, billing),
    contender('one-transaction', databases[1].pool, other),
  ]);
}

/** Creates a database with billing's schema, on the PostgreSQL server of the run. */
async function createDatabase(world: World, name: string): Promise<{ url: string; pool: SqlPool }> {
  await world.pool.query(`CREATE DATABASE ${name}`);
  const url = new URL(world.postgres.url);
  url.pathname = `/${name}`;
  await promisify(execFile)(process.execPath, [path.join(repository, 'services/billing/src/migrate.ts')], {
    env: { ...childEnvironment(), DATABASE_URL: url.href },
  });
  const pool = createPool({
    url: url.href,
    applicationName: 'bench',
    connectionsMax: 1,
    statementTimeoutMs: 60_000,
  });
  world.scope.onEnd(async () => pool.close());
  return { url: url.href, pool };
}

async function startBilling(world: World, processor: CardProcessor, plan: BillingPlan, databaseUrl: string) {
  const profile =
    world.profileDir === undefined
      ? {}
      : {
          nodeWords: [
            '--cpu-prof',
            `--cpu-prof-dir=${world.profileDir}`,
            '--cpu-prof-name=billing.cpuprofile',
          ],
          graceful: true,
        };
  const running = await startProgram(world.scope, {
    name: 'billing',
    script: 'services/billing/src/main.ts',
    logFile: path.join(world.folder, 'billing.log'),
    ...profile,
    env: {
      MESH_SECRET: secretOf(world, 'mesh'),
      BILLING_SECRET: secretOf(world, 'billing'),
      PROCESSOR_SECRET: secretOf(world, 'processor'),
      PROCESSOR_URL: processor.url,
      DATABASE_URL: databaseUrl,
      SQL_CONNECTIONS_MAX: String(plan.connections),
      HTTP_PORT: '0',
      LOG_LEVEL: 'warn',
    },
  });
  return { port: (running.ready as { httpPort: number }).httpPort, pid: running.pid };
}

async function startOneTransaction(
  world: World,
  processor: CardProcessor,
  { connections }: BillingPlan,
  databaseUrl: string,
) {
  const callee = await startCallee(world.scope, child(world, 'one-transaction', 'one-transaction'));
  const port = await callee.call<number>('start', {
    databaseUrl,
    connections,
    meshSecret: secretOf(world, 'mesh'),
    processorUrl: processor.url,
    processorToken: processor.token,
  } satisfies OneTransactionArgs);
  return { port, pid: callee.pid };
}

function child(world: World, name: string, script: string) {
  const logFile = path.join(world.folder, `${name}.log`);
  return { name, script: `bench/src/billing/children/${script}.ts`, logFile };
}

function secretOf({ secret }: World, purpose: string): string {
  return `${secret}.${purpose}`;
}
