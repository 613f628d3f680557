/** Tasks that are assigned to workers; one worker is killed in the middle of a task. */
import type { TasksDocument } from '@thermomesh/contracts';
import { TaskAssignment } from '@thermomesh/zookeeper';
import { readRecord, untilStep } from './demo-process.ts';
import { startPlayers } from './player.ts';
import type { RecordLine } from './record.ts';
import { withStage, type RecipeOptions, type Stage } from './stage.ts';
import type { DemoZooKeeper } from './zookeeper.ts';

export interface TasksOptions extends RecipeOptions {
  tasks: number;
}

const workers = ['worker-1', 'worker-2', 'worker-3'];
const workMs = 40;
const resultTimeoutMs = 60_000;

/**
 * Runs the demonstration of task assignment.
 * @throws MeshError `demo.stuck`; ZooKeeperError `zookeeper.timeout` if a task is never finished
 */
export async function demonstrateTasks(place: DemoZooKeeper, options: TasksOptions): Promise<TasksDocument> {
  const played = await withStage(place, options, 'tasks', async (stage) => playTasks(stage, options.tasks));
  const findings = findingsOf(played);
  return { ok: findings.length === 0, ...played, findings };
}

/** The broken promises in words. */
export function findingsOf(played: Omit<TasksDocument, 'ok' | 'findings'>): string[] {
  const { tasks, finished, failed, killed, orphans, reclaimed, byWorker } = played;
  const counted = Object.values(byWorker).reduce((sum, count) => sum + count, 0);
  const checks: [boolean, string][] = [
    [finished + failed !== tasks, `${tasks - finished - failed} tasks were lost`],
    [failed > 0, `${failed} tasks were given up`],
    [counted !== finished, `${counted} results of workers for ${finished} tasks`],
    [killed === null || orphans.length === 0, 'no worker was killed in the middle of a task'],
    [reclaimed !== orphans.length, `${reclaimed} of ${orphans.length} orphans were reclaimed`],
  ];
  return checks.filter(([broken]) => broken).map(([, what]) => what);
}

async function playTasks(stage: Stage, tasks: number): Promise<Omit<TasksDocument, 'ok' | 'findings'>> {
  const { zk, hosts, path, recordFile, onProgress } = stage;
  const players = await stage.cast(startPlayers(hosts, workers, recordFile));
  for (const player of players) player.begin({ type: 'tasks', path, workMs });
  // It only submits: the workers elect the master among themselves, and the master may be the one
  // that is killed.
  const submitter = new TaskAssignment(zk, { path, id: 'submitter', master: false }).start();
  try {
    const ids = Array.from({ length: tasks }, (_, index) => `task-${index + 1}`);
    for (const id of ids) await submitter.submit({ id }, { id, timeoutMs: resultTimeoutMs });
    onProgress(`${tasks} tasks are submitted to ${workers.length} workers`);
    const open = (who: string) => {
      const lines = readRecord<RecordLine>(recordFile).filter((line) => line.who === who);
      const done = new Set(lines.filter(({ act }) => act === 'recorded').map(({ kind }) => kind));
      return lines.filter(({ act, kind }) => act === 'begun' && !done.has(kind)).map(({ kind = '' }) => kind);
    };
    const victim = await busyOne(players, (who) => open(who).length > 0);
    await victim.kill();
    const orphans = open(victim.name);
    onProgress(`${victim.name} is killed in the middle of ${orphans.join(', ')}`);
    const outcomes = await Promise.all(
      ids.map(async (id) => ({ id, ...(await submitter.result(id, { timeoutMs: resultTimeoutMs })) })),
    );
    const answered = outcomes.filter((outcome) => outcome.ok);
    const byWorker: Record<string, number> = {};
    for (const { value } of answered) byWorker[String(value)] = (byWorker[String(value)] ?? 0) + 1;
    const others = answered.filter(({ id, value }) => orphans.includes(id) && value !== victim.name);
    // A task that was answered before the worker could record it is finished, and so no orphan.
    const recorded = answered.filter(({ id, value }) => orphans.includes(id) && value === victim.name);
    return {
      tasks,
      workers: workers.length,
      finished: answered.length,
      failed: outcomes.length - answered.length,
      killed: victim.name,
      orphans: orphans.filter((id) => !recorded.some((task) => task.id === id)),
      reclaimed: others.length,
      executions: readRecord<RecordLine>(recordFile).filter(({ act }) => act === 'begun').length,
      byWorker,
    };
  } finally {
    await submitter.close();
  }
}

/**
 * Returns the first worker that is seen at work, stopped at that moment, so that it finishes
 * nothing more before it is killed.
 */
async function busyOne<P extends { name: string; signal(signal: 'SIGSTOP'): void }>(
  players: readonly P[],
  isBusy: (who: string) => boolean,
): Promise<P> {
  let found: P | undefined;
  await untilStep('a worker to begin a task', () => {
    found = players.find(({ name }) => isBusy(name));
    found?.signal('SIGSTOP');
    return found !== undefined;
  });
  if (found === undefined) throw new RangeError('no worker is at work');
  return found;
}
