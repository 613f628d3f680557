/** `mesh demo barrier`, `tasks`, `counter` and `locks` */
import type { Command } from 'commander';
import type { BarrierDocument, CounterDocument, LocksDocument, TasksDocument } from '@thermomesh/contracts';
import type { MeshConfig } from '../config.ts';
import { demonstrateBarrier } from '../demos/barrier.ts';
import { demonstrateCounter } from '../demos/counter.ts';
import { demonstrateLocks } from '../demos/locks.ts';
import { demonstrateTasks } from '../demos/tasks.ts';
import { perform, placeHelp, progress, withHosts, type PlaceFlags } from './demo-place.ts';
import { numberWithin, wholeNumber } from './options.ts';
import { show, table } from './view/table.ts';

const barrierHelp = `
A barrier: one process sets it and is killed; the barrier stays, because it belongs to no session.
Three processes wait, and one of them is killed. Then the barrier is lifted: the others pass, and a
late process does not wait. A double barrier of three processes, in four rounds: one process is
late, one is slow (SIGSTOP), one is killed inside, and another one takes its place. The verdict uses
what the processes recorded.
${placeHelp}

Exit code: 1 if a process passed too early, was not let through, or was lost and not reported.

Examples:
  mesh demo barrier
  mesh demo barrier --json`;

const tasksHelp = `
Three workers elect a master among themselves, which assigns tasks. The first worker that is seen
at work is killed in the middle of a task, whether it is the master or not. In the end each task
has one result, and another worker has repeated what the dead one had begun.
${placeHelp}

Exit code: 1 if a task has no result or was given up, or an orphan was not reclaimed.

Examples:
  mesh demo tasks
  mesh demo tasks --tasks 60 --json`;

const counterHelp = `
Four processes add one at a time to the same counter, and record each addition before and after it.
One process is killed in the middle. The connection of another one is cut three times, so that
answers are lost. The value must be the number of answered additions, plus at most the one that the
dead process had begun.
${placeHelp}

Exit code: 1 if an increment was lost or counted twice.

Examples:
  mesh demo counter
  mesh demo counter --increments 500 --json`;

const locksHelp = `
Two writers and three readers share a read/write lock; then four processes share two permits of a
semaphore. The first process is killed while it holds. Each take, act and release is recorded with
the epoch of its lease. An oracle reads the record: no process may act after another one that
excludes it has taken the lock.
${placeHelp}

Exit code: 1 if two processes that exclude each other overlap, a process never holds, or the death
blocks the others.

Examples:
  mesh demo locks
  mesh demo locks --seconds 30 --json`;

/** Adds these commands to `mesh demo`. */
export function addRecipeDemos(demo: Command, config: () => MeshConfig): void {
  withHosts(demo.command('barrier'))
    .description('late, slow and crashed parties at a barrier and a double barrier')
    .addHelpText('after', barrierHelp)
    .action(async (flags: PlaceFlags) => {
      await perform(config(), flags, renderBarrier, async (place, signal) =>
        demonstrateBarrier(place, { signal, onProgress: progress }),
      );
    });
  withHosts(demo.command('tasks'))
    .description('kill a worker in the middle of a task; another worker finishes it')
    .option('--tasks <n>', 'number of tasks', wholeNumber(3, 100), 30)
    .addHelpText('after', tasksHelp)
    .action(async (flags: PlaceFlags & { tasks: number }) => {
      await perform(config(), flags, renderTasks, async (place, signal) =>
        demonstrateTasks(place, { tasks: flags.tasks, signal, onProgress: progress }),
      );
    });
  withHosts(demo.command('counter'))
    .description('count in several processes, kill one: no increment is lost or doubled')
    .option(
      '--increments <n>',
      'number of increments of each of the four processes',
      wholeNumber(8, 100_000),
      200,
    )
    .addHelpText('after', counterHelp)
    .action(async (flags: PlaceFlags & { increments: number }) => {
      await perform(config(), flags, renderCounter, async (place, signal) =>
        demonstrateCounter(place, { increments: flags.increments, signal, onProgress: progress }),
      );
    });
  withHosts(demo.command('locks'))
    .description('readers, writers and permits, and an oracle that reports overlaps')
    .option(
      '--seconds <n>',
      'duration of each of the two; longer than the session of a dead holder (3 s)',
      numberWithin(5, 3_600),
      8,
    )
    .addHelpText('after', locksHelp)
    .action(async (flags: PlaceFlags & { seconds: number }) => {
      await perform(config(), flags, renderLocks, async (place, signal) =>
        demonstrateLocks(place, { seconds: flags.seconds, signal, onProgress: progress }),
      );
    });
}

const verdictOf = (ok: boolean) => (ok ? 'PASSED' : 'FAILED');

function renderBarrier({ ok, barrier, rounds, findings }: BarrierDocument, colours: boolean): string {
  const { waiting, passedBefore, passedAfter, killedWaiting, latePassed } = barrier;
  const rows = rounds.map((round) => [
    ...[round.round, round.hazard, round.parties.join(' ')],
    ...[show(round.beganTogether), show(round.endedTogether), round.lost.join(' ')],
  ]);
  const head = ['round', 'hazard', 'parties', 'began together', 'ended together', 'lost'];
  return [
    `${verdictOf(ok)}: a barrier whose setter was killed: ${waiting} waited, ${passedBefore} passed before it was lifted, ${passedAfter} after (${killedWaiting} was killed); the late process ${latePassed ? 'passed' : 'waited'}`,
    table(head, rows, colours),
    ...findings,
  ].join('\n');
}

function renderTasks(document: TasksDocument, colours: boolean): string {
  const { ok, tasks, workers, finished, killed, orphans, reclaimed, executions, byWorker, findings } =
    document;
  return [
    `${verdictOf(ok)}: ${finished} of ${tasks} tasks finished by ${workers} workers in ${executions} executions`,
    `${show(killed)} was killed in the middle of ${orphans.join(', ')}: ${reclaimed} reclaimed`,
    table(['worker', 'results'], Object.entries(byWorker).toSorted(), colours),
    ...findings,
  ].join('\n');
}

function renderCounter(document: CounterDocument, colours: boolean): string {
  const { ok, value, processes, answered, open, lost, doubled, findings } = document;
  const rows = processes.map(({ name, begun, answered: answers, killed, breaks }) => [
    ...[name, begun, answers, killed ? 'killed' : '', breaks],
  ]);
  return [
    `${verdictOf(ok)}: the counter is ${value}; answered ${answered}, ${open} of the killed process unknown; lost ${lost}, doubled ${doubled}`,
    table(['process', 'begun', 'answered', 'end', 'cuts'], rows, colours),
    ...findings,
  ].join('\n');
}

function renderLocks({ ok, seconds, arms }: LocksDocument, colours: boolean): string {
  const words = (counts: Record<string, number>) =>
    Object.entries(counts)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(', ');
  const rows = arms.map(({ name, holds, together, killed, holdsAfter, starved, acts, overlaps }) => [
    ...[name, words(holds), words(together), show(killed), holdsAfter, starved, acts, overlaps],
  ]);
  const head = [
    'recipe',
    'holds',
    'at once, at most',
    'killed',
    'holds after',
    'starved',
    'acts',
    'overlaps',
  ];
  return [
    `${verdictOf(ok)}: ${seconds} s of each, judged by epochs`,
    table(head, rows, colours),
    ...arms.flatMap(({ name, findings }) => findings.map((finding) => `${name}: ${finding}`)),
  ].join('\n');
}
