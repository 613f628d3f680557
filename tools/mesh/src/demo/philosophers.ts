/** Five philosophers, five forks (Dijkstra, EWD 310): processes that share fenced locks, in three orders of taking them. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PhilosophersDocument } from '@thermomesh/contracts';
import type { ZooKeeper } from '@thermomesh/zookeeper';
import { confirmedCycle, judgeRecord, seats, type ArmName, type RecordLine } from './philosophers-record.ts';
import { Philosopher, readQueues, until } from './philosophers-table.ts';
import { connectTo, type DemoZooKeeper } from './zookeeper.ts';

export interface PhilosophersOptions {
  /** Of each order that does not deadlock. */
  seconds: number;
  signal: AbortSignal;
  onProgress: (line: string) => void;
}

type Arm = PhilosophersDocument['arms'][number];

const arms: readonly ArmName[] = ['naive', 'ordered', 'semaphore'];
/** If nobody has met in a circle by then, the naive order was lucky. */
const naiveMaxMs = 30_000;
const lookIntervalMs = 50;
const sessionTimeoutMs = 10_000;

/** @throws MeshError `demo.stuck` if philosophers neither eat nor end */
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

/** The naive order deadlocks, and one death lets all others eat; ours never do, and nobody starves; no fork is held by two. */
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

/** Everybody who is not there, or not any more. */
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
  // Who may be stuck for ever is told to leave; the others finish what they wait for.
  const how = arm === 'naive' || deadlock !== null ? 'leave' : 'stop';
  await Promise.all(table.map(async (philosopher) => philosopher.end(how)));
  const meals = table.map(({ waits }) => waits.length);
  return {
    name: arm,
    deadlock,
    meals,
    longestWaitMs: table.map(({ waits }) => (waits.length === 0 ? null : Math.max(...waits))),
    starved: meals.filter((count) => count === 0).length,
    record: judgeRecord(readRecord(recordFile)),
  };
}

/** Looks at the queues until a circle of waiting is there, or time is up. */
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

/** Kills one of the circle; its session ends, its fork is free, and the others eat. */
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
  await until(() => others.every((_, index) => mealsOf(index) > 0), 'the others to eat after the death');
  const mealsAfter = others.reduce((sum, _, index) => sum + mealsOf(index), 0);
  return { cycle, ended: victim.number, mealsAfter };
}

function readRecord(file: string): RecordLine[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  // The last line of a killed process is whole: one write, of a few bytes.
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as RecordLine);
}
