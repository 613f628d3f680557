/** Barriers with late, slow and crashed parties: processes that wait for each other, and what they wrote down. */
import type { BarrierDocument } from '@thermomesh/contracts';
import { readRecord, startPlayers, untilStep, type Player } from './player.ts';
import { judgeRounds } from './record.ts';
import { withStage, type RecipeOptions, type Stage } from './stage.ts';
import type { DemoZooKeeper } from './zookeeper.ts';

const parties = ['party-1', 'party-2', 'party-3'];
const workMs = 50;
/** How long the slow one is stopped in the middle of its work; below the session's timeout, so that it is slow and not dead. */
const slowMs = 800;
/** What would pass a barrier that is down has time to. */
const standMs = 300;
const pause = async (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** @throws MeshError `demo.stuck` if somebody waits for ever */
export async function demonstrateBarrier(
  place: DemoZooKeeper,
  options: RecipeOptions,
): Promise<BarrierDocument> {
  const barrier = await withStage(place, options, 'gate', playGate);
  const rounds = await withStage(place, options, 'rounds', playRounds);
  const findings = findingsOf(barrier, rounds);
  return { ok: findings.length === 0, barrier, rounds, findings };
}

/** What was promised and not kept, in words. */
export function findingsOf(barrier: BarrierDocument['barrier'], rounds: BarrierDocument['rounds']): string[] {
  const { waiting, passedBefore, passedAfter, killedWaiting, latePassed, setterKilled } = barrier;
  const faults: [boolean, string][] = [
    [passedBefore > 0, `${passedBefore} passed the barrier before it was lifted`],
    [passedAfter !== waiting - killedWaiting, `${passedAfter} of ${waiting} passed the lifted barrier`],
    [!latePassed, 'who came late found the lifted barrier down'],
    [!setterKilled, 'the death of who had set the barrier was not shown'],
    [rounds.length !== 4, `${rounds.length} of 4 rounds were played`],
    ...rounds.flatMap(({ round, hazard, beganTogether, endedTogether, lost }): [boolean, string][] => [
      [!beganTogether, `round ${round} (${hazard}): somebody began before all had come`],
      [!endedTogether, `round ${round} (${hazard}): somebody went on before all were done`],
      [lost.length > 0 !== (hazard === 'crashed'), `round ${round} (${hazard}): lost ${lost.join(', ')}`],
    ]),
  ];
  return faults.filter(([broken]) => broken).map(([, what]) => what);
}

async function playGate(stage: Stage): Promise<BarrierDocument['barrier']> {
  const { hosts, path, recordFile, onProgress } = stage;
  const names = ['setter', 'waiting-1', 'waiting-2', 'waiting-3', 'late'];
  const [setter, ...others] = await stage.cast(startPlayers(hosts, names, recordFile));
  const late = others.pop();
  if (setter === undefined || late === undefined) throw new RangeError('nobody plays');
  setter.begin({ type: 'set', path });
  await setter.done();
  onProgress('the barrier is set; who set it is killed');
  await setter.kill();
  for (const waiting of others) waiting.begin({ type: 'wait', path });
  const count = (act: string) => readRecord(recordFile).filter((line) => line.act === act).length;
  await untilStep(() => count('come') === others.length, 'all to stand at the barrier');
  await pause(standMs);
  const [victim, ...rest] = others;
  await victim?.kill();
  onProgress('one of those that wait is killed; the barrier is lifted');
  const passedBefore = count('passed');
  await stage.lift();
  await Promise.all(rest.map(async (player) => player.done()));
  const passedAfter = count('passed') - passedBefore;
  late.begin({ type: 'wait', path });
  await late.done();
  const latePassed = readRecord(recordFile).some(({ who, act }) => who === late.name && act === 'passed');
  const told = { setterKilled: !setter.alive, passedBefore, passedAfter, killedWaiting: 1, latePassed };
  return { waiting: others.length, ...told };
}

async function playRounds(stage: Stage): Promise<BarrierDocument['rounds']> {
  const { hosts, path, recordFile, onProgress } = stage;
  const players = await stage.cast(startPlayers(hosts, parties, recordFile));
  const [first, second, third] = players;
  if (first === undefined || second === undefined || third === undefined)
    throw new RangeError('nobody plays');
  const errand = { type: 'round', path, parties: parties.length, workMs } as const;
  const has = (act: string, who: string, times: number) =>
    readRecord(recordFile).filter((line) => line.act === act && line.who === who).length >= times;
  const all = async (those: Player[]) => Promise.all(those.map(async (player) => player.done()));

  onProgress('round 1: one comes late');
  for (const early of [first, second]) early.begin(errand);
  await untilStep(() => [first, second].every(({ name }) => has('come', name, 1)), 'the early ones to come');
  await pause(standMs);
  third.begin(errand);
  await all(players);

  onProgress('round 2: one is slow');
  third.begin({ ...errand, workMs: slowMs });
  for (const quick of [first, second]) quick.begin(errand);
  await untilStep(() => has('begun', third.name, 2), 'the slow one to begin');
  third.signal('SIGSTOP');
  await pause(slowMs);
  third.signal('SIGCONT');
  await all(players);

  onProgress('round 3: one is killed inside');
  second.begin({ ...errand, workMs: 60_000 });
  for (const other of [first, third]) other.begin(errand);
  await untilStep(() => has('begun', second.name, 3), 'the doomed one to begin');
  await second.kill();
  await all([first, third]);

  onProgress('round 4: another one takes its place');
  const [heir] = await stage.cast(startPlayers(hosts, ['party-4'], recordFile));
  const last = [first, third, ...(heir === undefined ? [] : [heir])];
  for (const player of last) player.begin(errand);
  await all(last);
  const hazards = ['late', 'slow', 'crashed', 'replaced'];
  return judgeRounds(readRecord(recordFile))
    .toSorted((one, other) => one.round - other.round)
    .map((verdict, index) => ({ ...verdict, hazard: hazards[index] ?? '' }));
}
