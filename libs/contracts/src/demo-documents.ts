/** What the demonstrations of recipes print with `--json`: a public contract; fields are added, never renamed. */
import Type, { type Static } from 'typebox';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Count = Type.Integer({ minimum: 0 });
const Findings = Type.Array(Type.String(), { description: 'promises that were broken, in words' });

/** `mesh demo barrier --json`: late, slow and crashed parties at both kinds of barrier. */
export const BarrierDocument = Type.Object({
  ok: Type.Boolean(),
  barrier: Type.Object({
    waiting: Type.Integer({ minimum: 0, description: 'processes that waited' }),
    setterKilled: Type.Boolean({ description: 'who had set it was killed: it belongs to nobody' }),
    passedBefore: Type.Integer({ minimum: 0, description: 'of them, before it was lifted' }),
    passedAfter: Count,
    killedWaiting: Count,
    latePassed: Type.Boolean({ description: 'who came after that did not wait' }),
  }),
  rounds: Type.Array(
    Type.Object({
      round: Count,
      hazard: Type.String(),
      parties: Type.Array(Type.String()),
      beganTogether: Type.Boolean({ description: 'nobody before the last one had come' }),
      endedTogether: Type.Boolean({ description: 'nobody before the last one was done, or lost' }),
      lost: Type.Array(Type.String(), { description: 'as the others were told' }),
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
  finished: Type.Integer({ minimum: 0, description: 'tasks with a result' }),
  failed: Count,
  killed: Nullable(Type.String({ description: 'the worker' })),
  orphans: Type.Array(Type.String(), { description: 'tasks that it had begun and not finished' }),
  reclaimed: Type.Integer({ minimum: 0, description: 'of them, finished by another one' }),
  executions: Type.Integer({ minimum: 0, description: 'how often a worker began a task' }),
  byWorker: Type.Record(Type.String(), Count, { description: 'results that counted' }),
  findings: Findings,
});
export type TasksDocument = Static<typeof TasksDocument>;

/** `mesh demo counter --json`: processes count at once; one is killed, one loses its connection again and again. */
export const CounterDocument = Type.Object({
  ok: Type.Boolean(),
  value: Type.Integer({ description: 'of the counter, at the end' }),
  processes: Type.Array(
    Type.Object({
      name: Type.String(),
      begun: Type.Integer({ minimum: 0, description: 'increments, as it wrote them down before' }),
      answered: Type.Integer({ minimum: 0, description: 'and after' }),
      killed: Type.Boolean(),
      breaks: Type.Integer({ minimum: 0, description: 'cuts of its connection' }),
    }),
  ),
  answered: Count,
  open: Type.Integer({ minimum: 0, description: 'of the killed one: begun, and nobody can know the answer' }),
  lost: Type.Integer({ minimum: 0, description: 'answered, and not in the value' }),
  doubled: Type.Integer({ minimum: 0, description: 'in the value beyond what was begun' }),
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
      holds: Type.Record(Type.String(), Count, { description: 'by kind' }),
      together: Type.Record(Type.String(), Count, { description: 'by kind: how many held at once, at most' }),
      killed: Nullable(Type.String({ description: 'the process, while it held' })),
      holdsAfter: Type.Integer({ minimum: 0, description: 'of the others, after that death' }),
      starved: Type.Integer({ minimum: 0, description: 'processes that never held' }),
      acts: Count,
      overlaps: Type.Integer({
        minimum: 0,
        description: 'acts of a holder after another one that excludes it',
      }),
      findings: Findings,
    }),
  ),
});
export type LocksDocument = Static<typeof LocksDocument>;
