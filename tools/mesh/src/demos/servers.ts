/**
 * Billing and the card processor for the demonstration: those of the running mesh, or temporary
 * ones.
 */
import { mkdtempSync, readFileSync } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { testPostgres } from '@thermomesh/servers';
import type { MeshConfig } from '../config.ts';
import { choosePorts } from '../local/state/ports.ts';
import { runMigrations } from '../local/supervisor/launching.ts';
import { planPayments } from '../local/supervisor/payments-plan.ts';
import { createSupervisor } from '../local/supervisor/supervisor.ts';
import { layoutOf, type Layout } from '../mesh/files/layout.ts';
import { livingSupervisor, readRunFile, type ProcessRecord } from '../mesh/files/run-file.ts';
import { ensurePaymentSecrets, ensureSecret, readSecret } from '../mesh/files/secrets.ts';
import { createProcessorClient, type ProcessorClient } from '../mesh/payments/processor-client.ts';

export interface DemoServers {
  /** Where the servers come from, for people. */
  origin: string;
  billingPort: number;
  /** A bearer token that billing accepts as the caller `operator`. */
  token: string;
  processor: ProcessorClient;
  /** Stops what was started for the demonstration, and nothing else. Idempotent. */
  close(): Promise<void>;
}

const readyTimeoutMs = 1_500;

/** Opens those of the mesh `name` if it is up with payments, or else starts temporary ones. */
export async function openDemoServers(config: MeshConfig, name: string): Promise<DemoServers> {
  return (await fromMesh(layoutOf(config.home, name), name)) ?? (await temporary(config));
}

async function fromMesh(layout: Layout, name: string): Promise<DemoServers | undefined> {
  if ((await livingSupervisor(layout)) === undefined) return undefined;
  const processes = readRunFile(layout)?.processes ?? [];
  const find = (role: string) => processes.find((record) => record.role === role);
  const [billing, processor] = [find('billing'), find('card-processor')];
  if (!(await Promise.all([billing, processor].map(isReady))).every(Boolean)) return undefined;
  return {
    origin: `of the mesh "${name}"`,
    ...describe(layout, billing?.ports['http'] ?? 0, processor?.url ?? ''),
    close: async () => undefined,
  };
}

async function isReady(record: ProcessRecord | undefined): Promise<boolean> {
  if (record?.url === undefined || record.url === null) return false;
  return fetch(`${record.url}/readyz`, { signal: AbortSignal.timeout(readyTimeoutMs) }).then(
    async (answer) => {
      await answer.body?.cancel();
      return answer.ok;
    },
    () => false,
  );
}

function describe(
  layout: Layout,
  billingPort: number,
  processorUrl: string,
): Pick<DemoServers, 'billingPort' | 'token' | 'processor'> {
  const processorSecret = readFileSync(layout.processorSecretFile, 'utf8').trim();
  return {
    billingPort,
    token: deriveToken(readSecret(layout), subjects.operator),
    processor: createProcessorClient(processorUrl, processorSecret),
  };
}

/** Starts PostgreSQL, the card processor and one replica of billing in a temporary folder. */
async function temporary(base: MeshConfig): Promise<DemoServers> {
  const home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-demo-'));
  await chmod(home, 0o755);
  const config = { ...base, home, databaseUrl: undefined, redisUrl: undefined };
  const layout = layoutOf(home, 'demo');
  ensureSecret(layout);
  ensurePaymentSecrets(layout);
  const quiet = () => undefined;
  const ports = await choosePorts(layout, { nodes: 0, billing: 1, standard: false }, quiet);
  const postgres = await testPostgres();
  const options = {
    config,
    layout,
    ports,
    name: 'demo',
    notice: quiet,
    extraEnv: {},
    fleetDevices: 0,
    proxied: false,
    payments: true,
  };
  const servers = { databaseUrl: () => postgres.server.url, zookeeperHosts: () => null };
  const { specs } = planPayments(options, servers).billing;
  const before = async () => runMigrations(options, 'billing', postgres.server.url);
  const supervisor = createSupervisor([{ specs, before }], {
    onEvent: quiet,
    onChange: quiet,
    isHeld: () => false,
  });
  let closed: Promise<void> | undefined;
  const close = async () => {
    await supervisor.stop();
    await postgres.remove();
    await rm(home, { recursive: true, force: true });
  };
  const closeOnce = () => (closed ??= close());
  try {
    await supervisor.start();
  } catch (error) {
    await closeOnce();
    throw error;
  }
  const find = (role: string) => specs.find((spec) => spec.role === role);
  return {
    origin: 'temporary ones',
    ...describe(layout, find('billing')?.ports['http'] ?? 0, find('card-processor')?.url ?? ''),
    close: closeOnce,
  };
}
