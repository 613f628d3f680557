/**
 * Processes that count at the same time: one is killed in the middle, another one loses its
 * connection several times.
 */
import type { CounterDocument } from '@thermomesh/contracts';
import { openLink, passing } from '@thermomesh/links';
import { sleep } from '@thermomesh/runtime';
import { SharedCounter } from '@thermomesh/zookeeper';
import { readRecord, untilStep } from './demo-process.ts';
import { startPlayers, type Player } from './player.ts';
import { judgeCount, type RecordLine } from './record.ts';
import { withStage, type RecipeOptions, type Stage } from './stage.ts';
import type { DemoZooKeeper } from './zookeeper.ts';

export interface CounterDemoOptions extends RecipeOptions {
  /** Number of increments of each process. */
  increments: number;
}

type Played = Omit<CounterDocument, 'ok' | 'findings'>;

const steady = ['counting-1', 'counting-2'];
const killedName = 'killed';
const cutName = 'cut';
const cuts = 3;
const cutMs = 60;

/**
 * Runs the demonstration of the shared counter.
 * @throws MeshError `demo.stuck`
 */
export async function demonstrateCounter(
  place: DemoZooKeeper,
  options: CounterDemoOptions,
): Promise<CounterDocument> {
  const played = await withStage(place, options, 'counter', async (stage) => play(stage, options.increments));
  const findings = findingsOf(played, options.increments);
  return { ok: findings.length === 0, ...played, findings };
}

/** The broken promises in words. */
export function findingsOf({ processes, lost, doubled }: Played, increments: number): string[] {
  const short = processes.filter(({ killed, answered }) => !killed && answered !== increments);
  const checks: [boolean, string][] = [
    [lost > 0, `${lost} increments were lost`],
    [doubled > 0, `${doubled} increments were counted twice`],
    [!processes.some(({ killed }) => killed), 'no process was killed'],
    [!processes.some(({ breaks }) => breaks > 0), 'no connection was cut'],
    ...short.map(({ name, answered }): [boolean, string] => [true, `${name} got ${answered} answers`]),
  ];
  return checks.filter(([broken]) => broken).map(([, what]) => what);
}

async function play(stage: Stage, increments: number): Promise<Played> {
  const { zk, hosts, path, recordFile, onProgress } = stage;
  const [server = '', ...rest] = (hosts.split('/')[0] ?? '').split(',');
  const colon = server.lastIndexOf(':');
  const target = { host: server.slice(0, colon), port: Number(server.slice(colon + 1)) };
  const link = await openLink({ name: `${cutName}:zookeeper`, port: 0, target });
  const chroot = hosts.slice([server, ...rest].join(',').length);
  try {
    const [players, [cut]] = await Promise.all([
      stage.cast(startPlayers(hosts, [...steady, killedName], recordFile)),
      stage.cast(startPlayers(`127.0.0.1:${link.port}${chroot}`, [cutName], recordFile)),
    ]);
    const all: Player[] = [...players, ...(cut === undefined ? [] : [cut])];
    for (const player of all) player.begin({ type: 'count', path, times: increments });
    const answers = (who: string) => countOf(recordFile, who, 'answered');
    const victim = players.find(({ name }) => name === killedName);
    await untilStep('the one that will be killed to count', () => answers(killedName) >= increments / 4);
    await victim?.kill();
    onProgress(`one process is killed after ${answers(killedName)} of ${increments}`);
    let breaks = 0;
    while (breaks < cuts && answers(cutName) < increments) {
      const before = answers(cutName);
      await link.set({ ...passing, state: 'cut' });
      breaks += 1;
      await sleep(cutMs);
      await link.set(passing);
      await untilStep('the one that was cut off to continue', () => answers(cutName) > before);
    }
    onProgress(`the connection of another one was cut ${breaks} times`);
    await Promise.all(all.filter((player) => player !== victim).map(async (player) => player.done()));
    const counter = new SharedCounter(zk, { path }).start();
    const value = Number((await counter.read()).value);
    await counter.close();
    const processes = all.map(({ name }) => ({
      name,
      begun: countOf(recordFile, name, 'begun'),
      answered: answers(name),
      killed: name === killedName,
      breaks: name === cutName ? breaks : 0,
    }));
    const sum = (of: 'begun' | 'answered') => processes.reduce((total, process) => total + process[of], 0);
    return { value, processes, ...judgeCount(value, sum('begun'), sum('answered')) };
  } finally {
    await link.close();
  }
}

function countOf(recordFile: string, who: string, act: string): number {
  return readRecord<RecordLine>(recordFile).filter((line) => line.who === who && line.act === act).length;
}
