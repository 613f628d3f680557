/** Barriers with late, slow and crashed parties, judged by what the processes recorded. */
import type { BarrierDocument } from '@thermomesh/contracts';
import { sleep } from '@thermomesh/runtime';
import { readRecord, untilStep } from './demo-process.ts';
import { startPlayers, type Player } from './player.ts';
import { judgeRounds, type RecordLine } from './record.ts';
import { withStage, type RecipeOptions, type Stage } from './stage.ts';
import type { DemoZooKeeper } from './zookeeper.ts';

const parties = ['party-1', 'party-2', 'party-3'];
const workMs = 50;
/**
 * Time for which the slow party is stopped in its work; less than the session timeout, so that it
 * is slow and not dead.
 */
const slowMs = 800;
/** Time in which a party that wrongly passes the barrier would do so. */
const standMs = 300;

/**
 * Runs both demonstrations of barriers.
 * @throws MeshError `demo.stuck` if a process waits too long
 */
export async function demonstrateBarrier(
  place: DemoZooKeeper,
  options: RecipeOptions,
): Promise<BarrierDocument> {
  const barrier = await withStage(place, options, 'gate', playGate);
  const rounds = await withStage(place, options, 'rounds', playRounds);
  const findings = findingsOf(barrier, rounds);
  return { ok: findings.length === 0, barrier, rounds, findings };
}

/** The broken promises in words. */
export function findingsOf(barrier: BarrierDocument['barrier'], rounds: BarrierDocument['rounds']): string[] {
  const { waiting, passedBefore, passedAfter, killedWaiting, latePassed, setterKilled } = barrier;
  const checks: [boolean, string][] = [
    [passedBefore > 0, `${passedBefore} passed the barrier before it was lifted`],
    [passedAfter !== waiting - killedWaiting, `${passedAfter} of ${waiting} passed the lifted barrier`],
    [!latePassed, 'the late process found the lifted barrier down'],
    [!setterKilled, 'the death of the process that set the barrier was not seen'],
    [rounds.length !== 4, `${rounds.length} of 4 rounds were played`],
    ...rounds.flatMap(({ round, hazard, beganTogether, endedTogether, lost }): [boolean, string][] => [
      [!beganTogether, `round ${round} (${hazard}): a party began before all had come`],
      [!endedTogether, `round ${round} (${hazard}): a party continued before all were done`],
      [lost.length > 0 !== (hazard === 'crashed'), `round ${round} (${hazard}): lost ${lost.join(', ')}`],
    ]),
  ];
  return checks.filter(([broken]) => broken).map(([, what]) => what);
}

async function playGate(stage: Stage): Promise<BarrierDocument['barrier']> {
  const { hosts, path, recordFile, onProgress } = stage;
  const names = ['setter', 'waiting-1', 'waiting-2', 'waiting-3', 'late'];
  const [setter, ...others] = await stage.cast(startPlayers(hosts, names, recordFile));
  const late = others.pop();
  if (setter === undefined || late === undefined) throw new RangeError('there are no players');
  setter.begin({ type: 'set', path });
  await setter.done();
  onProgress('the barrier is set; the process that set it is killed');
  await setter.kill();
  for (const waiting of others) waiting.begin({ type: 'wait', path });
  const count = (act: string) => readRecord<RecordLine>(recordFile).filter((line) => line.act === act).length;
  await untilStep('all of them to wait at the barrier', () => count('come') === others.length);
  await sleep(standMs);
  const [victim, ...rest] = others;
  await victim?.kill();
  onProgress('one of the waiting processes is killed; the barrier is lifted');
  const passedBefore = count('passed');
  await stage.lift();
  await Promise.all(rest.map(async (player) => player.done()));
  const passedAfter = count('passed') - passedBefore;
  late.begin({ type: 'wait', path });
  await late.done();
  const latePassed = readRecord<RecordLine>(recordFile).some(
    ({ who, act }) => who === late.name && act === 'passed',
  );
  const observed = { setterKilled: !setter.alive, passedBefore, passedAfter, killedWaiting: 1, latePassed };
  return { waiting: others.length, ...observed };
}

async function playRounds(stage: Stage): Promise<BarrierDocument['rounds']> {
  const { hosts, path, recordFile, onProgress } = stage;
  const players = await stage.cast(startPlayers(hosts, parties, recordFile));
  const [first, second, third] = players;
  if (first === undefined || second === undefined || third === undefined)
    throw new RangeError('there are no players');
  const errand = { type: 'round', path, parties: parties.length, workMs } as const;
  const has = (act: string, who: string, times: number) =>
    readRecord<RecordLine>(recordFile).filter((line) => line.act === act && line.who === who).length >= times;
  const all = async (those: Player[]) => Promise.all(those.map(async (player) => player.done()));

  onProgress('round 1: one comes late');
  for (const early of [first, second]) early.begin(errand);
  await untilStep('the early ones to come', () => [first, second].every(({ name }) => has('come', name, 1)));
  await sleep(standMs);
  third.begin(errand);
  await all(players);

  onProgress('round 2: one is slow');
  third.begin({ ...errand, workMs: slowMs });
  for (const quick of [first, second]) quick.begin(errand);
  await untilStep('the slow one to begin', () => has('begun', third.name, 2));
  third.signal('SIGSTOP');
  await sleep(slowMs);
  third.signal('SIGCONT');
  await all(players);

  onProgress('round 3: one is killed inside');
  second.begin({ ...errand, workMs: 60_000 });
  for (const other of [first, third]) other.begin(errand);
  await untilStep('the one that will be killed to begin', () => has('begun', second.name, 3));
  await second.kill();
  await all([first, third]);

  onProgress('round 4: another one takes its place');
  const [heir] = await stage.cast(startPlayers(hosts, ['party-4'], recordFile));
  const last = [first, third, ...(heir === undefined ? [] : [heir])];
  for (const player of last) player.begin(errand);
  await all(last);
  const hazards = ['late', 'slow', 'crashed', 'replaced'];
  return judgeRounds(readRecord<RecordLine>(recordFile))
    .toSorted((one, other) => one.round - other.round)
    .map((verdict, index) => ({ ...verdict, hazard: hazards[index] ?? '' }));
}
