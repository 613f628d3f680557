/** Finds and ends the processes that a killed supervisor left behind. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import {
  identify,
  stopEnsemble,
  stopKafkaCluster,
  stopPostgres,
  stopRedis,
  type ProcessIdentity,
} from '@thermomesh/servers';
import type { Layout } from '../../mesh/files/layout.ts';
import { livingProcess, readRunFile, writeRunFile } from '../../mesh/files/run-file.ts';
import { endProcess, markName } from './child.ts';
import type { MeshEvent } from './spec.ts';

const stopTimeoutMs = 10_000;
/** Servers are found by their pid files and ended in their own way. */
const serverRoles: ReadonlySet<string> = new Set(['postgres', 'redis', 'zookeeper', 'kafka']);

/** Processes end before the processes that they call. */
const orderOfEnds = [
  'fleet',
  'analytics',
  'gateway',
  'equalizer',
  'billing',
  'card-processor',
  'links',
] as const;

/**
 * Ends every process of the mesh that is still alive, in this order: fleet, nodes, gateway,
 * equalizer, billing, card processor, links, Kafka, ZooKeeper, Redis, PostgreSQL. Processes are
 * recognised by pid and start time (so that a reused pid is left alone), by the mark in their
 * environment, and servers by their pid files. Only for a mesh without a supervisor.
 * @returns the number of ended processes
 */
export async function endLeftovers(layout: Layout, onEvent: (event: MeshEvent) => void): Promise<number> {
  const run = readRunFile(layout);
  const found = new Map<number, { name: string; role: string; identity: ProcessIdentity }>();
  for (const record of run?.processes ?? []) {
    const identity = await livingProcess(record);
    if (identity !== undefined && !serverRoles.has(record.role))
      found.set(identity.pid, { ...record, identity });
  }
  for (const identity of await findMarked(layout.folder)) {
    if (!found.has(identity.pid))
      found.set(identity.pid, { name: 'unrecorded', role: 'analytics', identity });
  }
  const known: readonly string[] = orderOfEnds;
  for (const role of [...orderOfEnds, undefined]) {
    // Processes of any other role end last.
    const group = [...found.values()].filter((entry) =>
      role === undefined ? !known.includes(entry.role) : entry.role === role,
    );
    await Promise.all(group.map(async ({ identity }) => endProcess(identity, stopTimeoutMs)));
    for (const { name, identity } of group) onEvent({ event: 'leftover.ended', name, pid: identity.pid });
  }
  let ended = found.size;
  for (const [what, stop] of [
    ['Kafka', async () => stopKafkaCluster(layout.kafkaDir)],
    ['ZooKeeper', async () => stopEnsemble(layout.zookeeperDir)],
  ] as const) {
    const stopped = await stop();
    if (stopped > 0)
      onEvent({ event: 'notice', text: `${what} that an earlier start left behind was stopped` });
    ended += stopped;
  }
  if (await stopRedis(layout.redisDir)) {
    onEvent({ event: 'notice', text: 'Redis that an earlier start left behind was stopped' });
    ended += 1;
  }
  if (await stopPostgres(layout.postgresDir)) {
    onEvent({ event: 'notice', text: 'PostgreSQL that an earlier start left behind was stopped' });
    ended += 1;
  }
  if (run !== undefined) {
    const processes = run.processes.map((record) => ({
      ...record,
      pid: null,
      startTime: null,
      ready: false,
    }));
    writeRunFile(layout, { ...run, state: 'stopped', processes });
  }
  return ended;
}

/** Finds marked processes, on Linux only; elsewhere only the run file lists them. */
async function findMarked(stateDir: string): Promise<ProcessIdentity[]> {
  if (!existsSync('/proc/self/environ')) return [];
  const mark = `${markName}=${stateDir}\0`;
  const identities: ProcessIdentity[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const environment = readEnvironment(Number(entry));
    if (!environment.startsWith(mark) && !environment.includes(`\0${mark}`)) continue;
    const identity = await identify(Number(entry));
    if (identity !== undefined) identities.push(identity);
  }
  return identities;
}

function readEnvironment(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    // The process belongs to another user or has just ended.
    return '';
  }
}
