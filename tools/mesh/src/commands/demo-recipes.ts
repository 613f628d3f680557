/** `mesh demo barrier`, `tasks`, `counter` and `locks` */
import type { Command } from 'commander';
import type { BarrierDocument, CounterDocument, LocksDocument, TasksDocument } from '@thermomesh/contracts';
import type { MeshConfig } from '../config.ts';
import { demonstrateBarrier } from '../demo/barrier.ts';
import { demonstrateCounter } from '../demo/counter.ts';
import { demonstrateLocks } from '../demo/locks.ts';
import { demonstrateTasks } from '../demo/tasks.ts';
import { show, table } from '../view/table.ts';
import { perform, placeHelp, progress, withHosts, type PlaceFlags } from './demo-place.ts';
import { numberWithin, wholeNumber } from './options.ts';

const barrierHelp = `
A barrier: one process sets it and is killed (it belongs to nobody, so it stays down); three wait, one of which is killed; it is lifted, the
others pass, and who comes late does not wait. A double barrier of three, four rounds: one comes late, one is slow (SIGSTOP), one is killed
inside, and another one takes its place. Judged by what the processes wrote down.
${placeHelp}

Exit code: 1 if somebody passed too early, was not let through, or was lost and not named.

Examples:
  mesh demo barrier
  mesh demo barrier --json`;

const tasksHelp = `
Three workers elect a master among themselves, which gives them tasks. The first one that is seen at work is killed in the middle of a task,
be it the master or not. Each task has one result in the end; what the dead one had begun was done again by another one.
${placeHelp}

Exit code: 1 if a task has no result, was given up, or an orphan was not reclaimed.

Examples:
  mesh demo tasks
  mesh demo tasks --tasks 60 --json`;

const counterHelp = `
Four processes add one at a time to the same counter, and write down each before and after. One is killed in the middle; the connection of
another one is cut three times, so that answers are lost. The value must be what was answered, plus at most what the dead one had begun.
${placeHelp}

Exit code: 1 if an increment was lost or counted twice.

Examples:
  mesh demo counter
  mesh demo counter --increments 500 --json`;

const locksHelp = `
Two writers and three readers share a read/write lock, then four processes two permits of a semaphore. The first of them is killed while it
holds. Each taking, act and putting back is written down with the epoch of its lease, and an oracle reads it: nobody acts after somebody whom it
excludes has taken.
${placeHelp}

Exit code: 1 if two overlap that exclude each other, somebody never holds, or the death holds up the others for ever.

Examples:
  mesh demo locks
  mesh demo locks --seconds 30 --json`;

/** Adds them to `mesh demo`. */
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
    .description('a worker is killed in the middle of a task, and another one does it')
    .option('--tasks <n>', 'how many', wholeNumber(3, 100), 30)
    .addHelpText('after', tasksHelp)
    .action(async (flags: PlaceFlags & { tasks: number }) => {
      await perform(config(), flags, renderTasks, async (place, signal) =>
        demonstrateTasks(place, { tasks: flags.tasks, signal, onProgress: progress }),
      );
    });
  withHosts(demo.command('counter'))
    .description('processes count at once, one is killed: none lost, none doubled')
    .option('--increments <n>', 'of each of four processes', wholeNumber(8, 100_000), 200)
    .addHelpText('after', counterHelp)
    .action(async (flags: PlaceFlags & { increments: number }) => {
      await perform(config(), flags, renderCounter, async (place, signal) =>
        demonstrateCounter(place, { increments: flags.increments, signal, onProgress: progress }),
      );
    });
  withHosts(demo.command('locks'))
    .description('readers and writers, permits, and an oracle that reports overlap')
    .option(
      '--seconds <n>',
      'of each of the two; above the session of a dead holder (3 s)',
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
    `${verdictOf(ok)}: a barrier whose setter was killed: ${waiting} waited, ${passedBefore} passed before it was lifted, ${passedAfter} after (${killedWaiting} was killed); who came late ${latePassed ? 'passed' : 'waited'}`,
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
    `${verdictOf(ok)}: the counter says ${value}; answered ${answered}, ${open} of the killed one unknown; lost ${lost}, doubled ${doubled}`,
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
