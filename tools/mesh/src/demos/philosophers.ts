/**
 * Five philosophers and five forks (Dijkstra, EWD 310): processes that share fenced locks and take
 * them in one of three orders.
 */
import { mkdtempSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PhilosophersDocument } from '@thermomesh/contracts';
import type { ZooKeeper } from '@thermomesh/zookeeper';
import { readRecord, untilStep } from './demo-process.ts';
import { confirmedCycle, judgeRecord, seats, type ArmName, type RecordLine } from './philosophers-record.ts';
import { Philosopher, readQueues } from './philosophers-table.ts';
import { connectTo, type DemoZooKeeper } from './zookeeper.ts';

export interface PhilosophersOptions {
  /** Duration of each order that does not deadlock. */
  seconds: number;
  signal: AbortSignal;
  onProgress: (line: string) => void;
}

type Arm = PhilosophersDocument['arms'][number];

const arms: readonly ArmName[] = ['naive', 'ordered', 'semaphore'];
/** Time limit for the naive order to deadlock; without a deadlock by then it was lucky. */
const naiveMaxMs = 30_000;
const lookIntervalMs = 50;
const sessionTimeoutMs = 10_000;

/**
 * Runs the three orders one after another.
 * @throws MeshError `demo.stuck` if philosophers neither eat nor end
 */
export async function demonstratePhilosophers(
  place: DemoZooKeeper,
  options: PhilosophersOptions,
): Promise<PhilosophersDocument> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-philosophers-'));
  const zk = await connectTo(place.hosts, sessionTimeoutMs);
  const table: Philosopher[] = [];
  try {
    const played: Arm[] = [];
    for (const arm of arms) {
      await sitDown(table, place.hosts);
      options.onProgress(`${arm}: ${seats} philosophers dine`);
      const recordFile = path.join(folder, `${arm}.ndjson`);
      await writeFile(recordFile, '');
      played.push(await playArm({ zk, table, arm, path: `${place.root}/${arm}`, recordFile }, options));
    }
    return { ok: keepsPhilosophersPromises(played), seconds: options.seconds, arms: played };
  } finally {
    await Promise.all(table.map(async (philosopher) => philosopher.dismiss()));
    await zk.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * True if the naive order deadlocks and one death lets all others eat, the other orders neither
 * deadlock nor let anyone starve, and no fork is held by two.
 */
export function keepsPhilosophersPromises(played: readonly Arm[]): boolean {
  return (
    arms.every((name, index) => played[index]?.name === name) &&
    played.every(({ name, deadlock, starved, record }) => {
      if (record.violations > 0) return false;
      if (name === 'naive') return deadlock !== null && deadlock.mealsAfter >= seats - 1;
      return deadlock === null && starved === 0;
    })
  );
}

interface Table {
  zk: ZooKeeper;
  table: Philosopher[];
  arm: ArmName;
  path: string;
  recordFile: string;
}

/** Starts a process for each philosopher that has none. */
async function sitDown(table: Philosopher[], hosts: string): Promise<void> {
  for (let number = 0; number < seats; number += 1) {
    if (table[number]?.alive !== true) table[number] = new Philosopher(hosts, number);
  }
  await Promise.all(table.map(async (philosopher) => philosopher.untilReady()));
}

async function playArm(place: Table, { seconds, signal, onProgress }: PhilosophersOptions): Promise<Arm> {
  const { table, arm, path: root, recordFile } = place;
  for (const philosopher of table) philosopher.dine({ arm, path: root, recordFile });
  const maxMs = arm === 'naive' ? naiveMaxMs : seconds * 1_000;
  const cycle = await lookForCycle(place, maxMs, signal);
  const deadlock = cycle === undefined ? null : await breakCycle(place, cycle, onProgress);
  // Philosophers that may be stuck have to leave; the others finish the meal that they wait for.
  const how = arm === 'naive' || deadlock !== null ? 'leave' : 'stop';
  await Promise.all(table.map(async (philosopher) => philosopher.end(how)));
  const meals = table.map(({ waits }) => waits.length);
  return {
    name: arm,
    deadlock,
    meals,
    longestWaitMs: table.map(({ waits }) => (waits.length === 0 ? null : Math.max(...waits))),
    starved: meals.filter((count) => count === 0).length,
    record: judgeRecord(readRecord<RecordLine>(recordFile)),
  };
}

/** Reads the queues until there is a circle of waiting, or the time is up. */
async function lookForCycle(
  { zk, path: root }: Table,
  maxMs: number,
  signal: AbortSignal,
): Promise<number[] | undefined> {
  const deadline = Date.now() + maxMs;
  let before = await zk.retry(async () => readQueues(zk, root, seats), { signal });
  while (Date.now() < deadline) {
    await delay(lookIntervalMs, undefined, { signal });
    const now = await zk.retry(async () => readQueues(zk, root, seats), { signal });
    const cycle = confirmedCycle(before, now);
    if (cycle !== undefined) return cycle;
    before = now;
  }
  return undefined;
}

/** Kills one philosopher of the circle: its session ends, its fork is free, and the others eat. */
async function breakCycle(
  { table }: Table,
  cycle: number[],
  onProgress: (line: string) => void,
): Promise<Arm['deadlock']> {
  const [first] = cycle;
  const victim = table.find(({ number }) => number === first);
  if (victim === undefined) return { cycle, ended: null, mealsAfter: 0 };
  onProgress(
    `deadlock: ${[...cycle, cycle[0]].join(' waits for ')}; killing the process of ${victim.number}`,
  );
  await victim.kill();
  const others = table.filter((philosopher) => philosopher !== victim);
  const before = others.map(({ waits }) => waits.length);
  const mealsOf = (index: number) => (others[index]?.waits.length ?? 0) - (before[index] ?? 0);
  await untilStep('the others to eat after the death', () => others.every((_, index) => mealsOf(index) > 0));
  const mealsAfter = others.reduce((sum, _, index) => sum + mealsOf(index), 0);
  return { cycle, ended: victim.number, mealsAfter };
}
