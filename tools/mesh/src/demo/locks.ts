/** Readers, writers and permits in processes of their own, a holder killed, and an oracle that reads what they wrote down. */
import type { LocksDocument } from '@thermomesh/contracts';
import type { Errand } from './player-child.ts';
import { readRecord, startPlayers, untilStep, type Player } from './player.ts';
import { judgeHolds, type Excludes } from './record.ts';
import { withStage, type RecipeOptions, type Stage } from './stage.ts';
import type { DemoZooKeeper } from './zookeeper.ts';

export interface LocksOptions extends RecipeOptions {
  /** Of each of the two. */
  seconds: number;
}

type Arm = LocksDocument['arms'][number];

const permits = 2;
const findingsMax = 10;

/** @throws MeshError `demo.stuck` */
export async function demonstrateLocks(place: DemoZooKeeper, options: LocksOptions): Promise<LocksDocument> {
  const { seconds } = options;
  const forMs = seconds * 1_000;
  const readWrite = await withStage(place, options, 'read-write', async (stage) => {
    const { path } = stage;
    const cast: [string, Errand][] = [
      ['writer-1', { type: 'write', path, forMs }],
      ['writer-2', { type: 'write', path, forMs }],
      ...['reader-1', 'reader-2', 'reader-3'].map((name): [string, Errand] => [
        name,
        { type: 'read', path, forMs },
      ]),
    ];
    return playArm(stage, 'read-write lock', cast, (one, other) => one === 'write' || other === 'write');
  });
  const semaphore = await withStage(place, options, 'semaphore', async (stage) => {
    const errand: Errand = { type: 'permit', path: stage.path, permits, forMs };
    const cast = [1, 2, 3, 4].map((number): [string, Errand] => [`process-${number}`, errand]);
    return playArm(stage, 'semaphore', cast, (one, other) => one === other);
  });
  const arms = [readWrite, semaphore];
  return { ok: arms.every(keepsPromises), seconds, arms };
}

/** Nobody overlaps whom it excludes, nobody starves, and a dead holder holds nobody up for ever. */
export function keepsPromises({ name, overlaps, starved, killed, holdsAfter, together }: Arm): boolean {
  const most = name === 'semaphore' ? (together['all'] ?? 0) <= permits : (together['write'] ?? 0) === 1;
  return overlaps === 0 && starved === 0 && killed !== null && holdsAfter > 0 && most;
}

async function playArm(
  stage: Stage,
  name: Arm['name'],
  cast: readonly [who: string, errand: Errand][],
  excludes: Excludes,
): Promise<Arm> {
  const { hosts, recordFile, onProgress } = stage;
  const names = cast.map(([who]) => who);
  const players = await stage.cast(startPlayers(hosts, names, recordFile));
  for (const [index, player] of players.entries()) {
    const errand = cast[index]?.[1];
    if (errand !== undefined) player.begin(errand);
  }
  onProgress(`${name}: ${names.join(', ')}`);
  const victim = players[0];
  if (victim === undefined) throw new RangeError('nobody plays');
  await untilHolding(victim, recordFile);
  await victim.kill();
  const before = readRecord(recordFile).length;
  onProgress(`${name}: ${victim.name} is killed while it holds`);
  await Promise.all(players.filter((player) => player !== victim).map(async (player) => player.done()));
  const lines = readRecord(recordFile);
  const { holds, together, acts, overlaps } = judgeHolds(lines, excludes);
  const takers = new Set(lines.filter(({ act }) => act === 'take').map(({ who }) => who));
  return {
    ...{ name, processes: names.length, holds, together, killed: victim.name },
    holdsAfter: lines.slice(before).filter(({ act }) => act === 'take').length,
    starved: names.filter((who) => !takers.has(who)).length,
    ...{ acts, overlaps: overlaps.length, findings: overlaps.slice(0, findingsMax) },
  };
}

/** Stops it in the moment in which it is seen to hold: killed then, it puts nothing back. */
async function untilHolding(player: Player, recordFile: string): Promise<void> {
  const holds = () => {
    const last = readRecord(recordFile).findLast(({ who }) => who === player.name);
    return last?.act === 'take' || last?.act === 'act';
  };
  await untilStep(() => {
    if (!holds()) return false;
    player.signal('SIGSTOP');
    if (holds()) return true;
    player.signal('SIGCONT');
    return false;
  }, `${player.name} to hold`);
}
