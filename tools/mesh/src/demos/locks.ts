/**
 * Readers, writers and permits in processes of their own. A holder is killed, and an oracle judges
 * what they recorded.
 */
import type { LocksDocument } from '@thermomesh/contracts';
import { readRecord, untilStep } from './demo-process.ts';
import type { Errand } from './player-child.ts';
import { startPlayers, type Player } from './player.ts';
import { judgeHolds, type Excludes, type RecordLine } from './record.ts';
import { withStage, type RecipeOptions, type Stage } from './stage.ts';
import type { DemoZooKeeper } from './zookeeper.ts';

export interface LocksOptions extends RecipeOptions {
  /** Duration of each of the two. */
  seconds: number;
}

type Arm = LocksDocument['arms'][number];

const permits = 2;
const findingsMax = 10;

/**
 * Runs the demonstration of locks.
 * @throws MeshError `demo.stuck`
 */
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

/**
 * True if no two holders overlap that exclude each other, no process starves, and a dead holder
 * blocks no other one.
 */
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
  if (victim === undefined) throw new RangeError('there are no players');
  await untilHolding(victim, recordFile);
  await victim.kill();
  const before = readRecord<RecordLine>(recordFile).length;
  onProgress(`${name}: ${victim.name} is killed while it holds`);
  await Promise.all(players.filter((player) => player !== victim).map(async (player) => player.done()));
  const lines = readRecord<RecordLine>(recordFile);
  const { holds, together, acts, overlaps } = judgeHolds(lines, excludes);
  const takers = new Set(lines.filter(({ act }) => act === 'take').map(({ who }) => who));
  return {
    name,
    processes: names.length,
    holds,
    together,
    killed: victim.name,
    holdsAfter: lines.slice(before).filter(({ act }) => act === 'take').length,
    starved: names.filter((who) => !takers.has(who)).length,
    acts,
    overlaps: overlaps.length,
    findings: overlaps.slice(0, findingsMax),
  };
}

/**
 * Stops the player at a moment in which it holds, so that it releases nothing when it is killed.
 */
async function untilHolding(player: Player, recordFile: string): Promise<void> {
  const holds = () => {
    const last = readRecord<RecordLine>(recordFile).findLast(({ who }) => who === player.name);
    return last?.act === 'take' || last?.act === 'act';
  };
  await untilStep(`${player.name} to hold`, () => {
    if (!holds()) return false;
    player.signal('SIGSTOP');
    if (holds()) return true;
    player.signal('SIGCONT');
    return false;
  });
}
