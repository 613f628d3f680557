/**
 * The documents that the demonstrations of recipes print with `--json`. They are a public contract:
 * fields are added, never renamed.
 */
import Type, { type Static } from 'typebox';
import { Count, Nullable } from './schema-parts.ts';

const Findings = Type.Array(Type.String(), { description: 'Broken promises, in words.' });

/** `mesh demo barrier --json`: late, slow and crashed parties at both kinds of barrier. */
export const BarrierDocument = Type.Object({
  ok: Type.Boolean(),
  barrier: Type.Object({
    waiting: Type.Integer({ minimum: 0, description: 'Processes that waited at the barrier.' }),
    setterKilled: Type.Boolean({
      description: 'Whether the process that set the barrier was killed: no process owns a barrier.',
    }),
    passedBefore: Type.Integer({
      minimum: 0,
      description: 'Waiting processes that passed before the barrier was lifted.',
    }),
    passedAfter: Count,
    killedWaiting: Count,
    latePassed: Type.Boolean({
      description: 'Whether a process that came after the lifting passed without waiting.',
    }),
  }),
  rounds: Type.Array(
    Type.Object({
      round: Count,
      hazard: Type.String(),
      parties: Type.Array(Type.String()),
      beganTogether: Type.Boolean({ description: 'Whether no party began before the last one had come.' }),
      endedTogether: Type.Boolean({
        description: 'Whether no party ended before the last one was done or lost.',
      }),
      lost: Type.Array(Type.String(), { description: 'Lost parties, as the other parties learned of them.' }),
    }),
  ),
  findings: Findings,
});
export type BarrierDocument = Static<typeof BarrierDocument>;

/** `mesh demo tasks --json`: a worker is killed in the middle of a task. */
export const TasksDocument = Type.Object({
  ok: Type.Boolean(),
  tasks: Count,
  workers: Count,
  finished: Type.Integer({ minimum: 0, description: 'Tasks with a result.' }),
  failed: Count,
  killed: Nullable(Type.String({ description: 'The killed worker.' })),
  orphans: Type.Array(Type.String(), {
    description: 'Tasks that the killed worker had begun and not finished.',
  }),
  reclaimed: Type.Integer({ minimum: 0, description: 'Orphans that another worker finished.' }),
  executions: Type.Integer({ minimum: 0, description: 'Number of times that a worker began a task.' }),
  byWorker: Type.Record(Type.String(), Count, { description: 'Results that counted, by worker.' }),
  findings: Findings,
});
export type TasksDocument = Static<typeof TasksDocument>;

/**
 * `mesh demo counter --json`: processes count at once; one is killed, one loses its connection
 * again and again.
 */
export const CounterDocument = Type.Object({
  ok: Type.Boolean(),
  value: Type.Integer({ description: 'Final value of the counter.' }),
  processes: Type.Array(
    Type.Object({
      name: Type.String(),
      begun: Type.Integer({
        minimum: 0,
        description: 'Increments that the process recorded before it sent them.',
      }),
      answered: Type.Integer({
        minimum: 0,
        description: 'Increments that the process recorded as answered.',
      }),
      killed: Type.Boolean(),
      breaks: Type.Integer({ minimum: 0, description: 'Number of times that its connection was cut.' }),
    }),
  ),
  answered: Count,
  open: Type.Integer({
    minimum: 0,
    description: 'Increments of the killed process that were begun and have no known answer.',
  }),
  lost: Type.Integer({ minimum: 0, description: 'Answered increments that are missing from the value.' }),
  doubled: Type.Integer({
    minimum: 0,
    description: 'Amount by which the value exceeds the increments that were begun.',
  }),
  findings: Findings,
});
export type CounterDocument = Static<typeof CounterDocument>;

/** `mesh demo locks --json`: an oracle reads what the holders wrote down. */
export const LocksDocument = Type.Object({
  ok: Type.Boolean(),
  seconds: Type.Number(),
  arms: Type.Array(
    Type.Object({
      name: Type.Union([Type.Literal('read-write lock'), Type.Literal('semaphore')]),
      processes: Count,
      holds: Type.Record(Type.String(), Count, { description: 'Number of holds, by kind.' }),
      together: Type.Record(Type.String(), Count, {
        description: 'Largest number of processes that held at once, by kind.',
      }),
      killed: Nullable(Type.String({ description: 'The process that was killed while it held.' })),
      holdsAfter: Type.Integer({ minimum: 0, description: 'Holds of the other processes after that death.' }),
      starved: Type.Integer({ minimum: 0, description: 'Processes that never held.' }),
      acts: Count,
      overlaps: Type.Integer({
        minimum: 0,
        description: 'Acts of a holder that came after acts of a later, exclusive holder.',
      }),
      findings: Findings,
    }),
  ),
});
export type LocksDocument = Static<typeof LocksDocument>;
