/** The answers of a mesh's processes, and the document of `mesh status`. */
import {
  AccountsDocument,
  BrokerDocument,
  CoordinatorDocument,
  type Accounts,
  type DrainView,
  type ProcessStatus,
  type StatusDocument,
} from '@thermomesh/contracts';
import { probeKafka, probePostgres, probeRedis, probeZooKeeper } from '@thermomesh/servers';
import { accountsOf } from './accounts.ts';
import { readEqualizerCoordinator } from './equalizers.ts';
import type { ProcessRecord } from './files/run-file.ts';
import { answerTimeoutMs } from './http.ts';
import type { Mesh } from './mesh.ts';

/** The gateway's status; undefined if it does not answer. */
export async function readBroker(mesh: Mesh): Promise<BrokerDocument | undefined> {
  const run = mesh.run();
  if (run === undefined) return undefined;
  return orUndefined(mesh.http.get(`${run.httpUrl}/v1/broker`, BrokerDocument));
}

/** The answer of each analytics node about itself and the coordinator. */
export async function readNodes(
  mesh: Mesh,
): Promise<{ record: ProcessRecord; answer: CoordinatorDocument | undefined }[]> {
  const records = (mesh.run()?.processes ?? []).filter(
    ({ role, url }) => role === 'analytics' && url !== null,
  );
  return Promise.all(
    records.map(async (record) => ({
      record,
      answer: await orUndefined(mesh.http.get(`${record.url}/v1/coordinator`, CoordinatorDocument)),
    })),
  );
}

/**
 * The coordinator with the highest epoch that any node names; null if no node names one. A deposed
 * coordinator may still name itself.
 */
export async function readCoordinator(mesh: Mesh): Promise<{ node: number; epoch: number } | null> {
  return highestEpoch((await readNodes(mesh)).map(({ answer }) => answer));
}

/** PostgreSQL's side of the accounts, from the first node that answers; undefined if none does. */
export async function readAccounts(mesh: Mesh): Promise<AccountsDocument | undefined> {
  const records = (mesh.run()?.processes ?? []).filter(
    ({ role, url }) => role === 'analytics' && url !== null,
  );
  return orUndefined(
    Promise.any(records.map(async ({ url }) => mesh.http.get(`${url}/v1/accounts`, AccountsDocument))),
  );
}

/** Reads the terms of I6 in the order that makes them comparable. */
export async function sampleAccounts(mesh: Mesh): Promise<Accounts> {
  const before = await readBroker(mesh);
  const accounts = await readAccounts(mesh);
  return accountsOf({ before, accounts, after: await readBroker(mesh) });
}

/**
 * The document of `mesh status`. It works while any part is down: what does not answer in time is
 * not ready, or null.
 */
export async function readStatus(mesh: Mesh): Promise<StatusDocument> {
  const run = mesh.run();
  const [supervised, nodes, accounts, processes, equalizerCoordinator] = await Promise.all([
    mesh.host.supervised(),
    readNodes(mesh),
    sampleAccounts(mesh),
    readProcesses(mesh),
    readEqualizerCoordinator(mesh),
  ]);
  const coordinator = highestEpoch(nodes.map(({ answer }) => answer));
  const running = run !== undefined && run.state !== 'stopped';
  const allReady = processes.length > 0 && processes.every(({ ready }) => ready);
  const led = coordinator !== null && (equalizerCoordinator !== null || !has(processes, 'equalizer'));
  return {
    name: mesh.name,
    ready: supervised && run?.state === 'running' && allReady && led,
    mqttUrl: running ? run.mqttUrl : null,
    httpUrl: running ? run.httpUrl : null,
    databaseUrl: running ? run.databaseUrl : null,
    redisUrl: running ? run.redisUrl : null,
    zookeeperHosts: (running ? run.zookeeperHosts : null) ?? null,
    kafkaBrokers: (running ? run.kafkaBrokers : null) ?? null,
    coordinator,
    equalizerCoordinator,
    processes,
    accounts,
    drain: drainIn(nodes.map(({ answer }) => answer)),
  };
}

/** The drain of the node that coordinates; null if no such node answers. */
function drainIn(answers: (CoordinatorDocument | undefined)[]): DrainView | null {
  const leader = highestEpoch(answers);
  return answers.find((answer) => answer?.nodeId === leader?.node)?.drain ?? null;
}

function has(processes: ProcessStatus[], wanted: string): boolean {
  return processes.some(({ role }) => role === wanted);
}

/** Asks every process whether it is ready. */
export async function readProcesses(mesh: Mesh): Promise<ProcessStatus[]> {
  return Promise.all((mesh.run()?.processes ?? []).map(async (record) => statusOf(mesh, record)));
}

async function statusOf(mesh: Mesh, record: ProcessRecord): Promise<ProcessStatus> {
  const { name, role, url } = record;
  const identity = await mesh.host.living(record);
  const ready = identity !== undefined && (await isReady(mesh, record));
  return { name, role, pid: identity?.pid ?? null, url, ready };
}

async function isReady(mesh: Mesh, record: ProcessRecord): Promise<boolean> {
  const known = mesh.host.readiness(record);
  if (known !== undefined) return known;
  if (record.role === 'postgres')
    return (await probePostgres(record.ports['sql'] ?? 0, answerTimeoutMs)) === 'accepting';
  if (record.role === 'redis') {
    const password = passwordOf(mesh.run()?.redisUrl ?? null);
    return (await probeRedis(record.ports['redis'] ?? 0, password, answerTimeoutMs)) === 'ready';
  }
  if (record.role === 'zookeeper')
    return (await probeZooKeeper(record.ports['zookeeper'] ?? 0, answerTimeoutMs)) !== undefined;
  if (record.role === 'kafka')
    return (await probeKafka(record.ports['kafka'] ?? 0, answerTimeoutMs)) !== undefined;
  if (record.url === null) return record.ready;
  return mesh.http.ok(`${record.url}/readyz`);
}

function passwordOf(url: string | null): string | undefined {
  return url === null ? undefined : decodeURIComponent(new URL(url).password);
}

function highestEpoch(answers: (CoordinatorDocument | undefined)[]): { node: number; epoch: number } | null {
  let highest: { node: number; epoch: number } | null = null;
  for (const answer of answers) {
    const seen = answer?.coordinator ?? null;
    if (seen !== null && (highest === null || seen.epoch > highest.epoch)) highest = seen;
  }
  return highest;
}

/** A part that does not answer is shown as down. */
async function orUndefined<T>(promise: Promise<T>): Promise<T | undefined> {
  return promise.catch(() => undefined);
}
