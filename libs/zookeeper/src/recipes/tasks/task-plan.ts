/** Decides which worker gets which task, and how that is written down. Pure. */
import { decode } from '../documents.ts';

/** The document of an unfinished task. A writer expects the version that it has read. */
export interface TaskDocument {
  payload: unknown;
  /** The number of workers that have got this task. */
  attempts: number;
  /** The worker that has the task. A worker has a new name in each session. */
  worker?: string;
  /** The epoch of the master that gave the task to the worker. */
  masterEpoch?: string;
}

/** The outcome of a task. */
export type TaskOutcome = { ok: true; value: unknown } | { ok: false; error: string };

/** The document of a finished task. */
export interface ResultDocument {
  outcome: TaskOutcome;
  /** The worker that answered, or the master that gave the task up. */
  by: string;
}

export interface KnownTask {
  id: string;
  /** The transaction of its submission. */
  submitted: bigint;
  version: number;
  document: TaskDocument;
}

export interface KnownWorker {
  name: string;
  /** The number of tasks that it executes at a time. */
  slots: number;
}

export type TaskStep =
  | { type: 'give'; task: KnownTask; worker: string }
  /** Too many workers died while they had the task: it may be what kills them. */
  | { type: 'give-up'; task: KnownTask };

/**
 * Plans the master's next steps. Tasks without a worker, and tasks whose worker is gone, go to the
 * worker with most free slots, oldest first. A task of a living worker stays there. Tasks without a
 * free slot wait.
 */
export function planTasks(
  tasks: readonly KnownTask[],
  workers: readonly KnownWorker[],
  attemptsMax: number,
): TaskStep[] {
  const free = new Map(workers.map(({ name, slots }) => [name, slots]));
  const unassigned: KnownTask[] = [];
  for (const task of tasks) {
    const { worker } = task.document;
    const slots = worker === undefined ? undefined : free.get(worker);
    if (worker === undefined || slots === undefined) unassigned.push(task);
    else free.set(worker, slots - 1);
  }
  const steps: TaskStep[] = [];
  for (const task of unassigned.toSorted((left, right) => (left.submitted < right.submitted ? -1 : 1))) {
    if (task.document.attempts >= attemptsMax) {
      steps.push({ type: 'give-up', task });
      continue;
    }
    const [best] = [...free]
      .filter(([, slots]) => slots > 0)
      .sort(([left, leftSlots], [right, rightSlots]) => rightSlots - leftSlots || (left < right ? -1 : 1));
    if (best === undefined) continue;
    const [worker, slots] = best;
    free.set(worker, slots - 1);
    steps.push({ type: 'give', task, worker });
  }
  return steps;
}

/** The document after the task has been given to a worker. */
export function given(document: TaskDocument, worker: string, masterEpoch: bigint): TaskDocument {
  return {
    payload: document.payload,
    attempts: document.attempts + 1,
    worker,
    masterEpoch: String(masterEpoch),
  };
}

/** Parses a task; undefined if another client has written something else there. */
export function readTask(data: Buffer): TaskDocument | undefined {
  const document = decode(data) as Partial<TaskDocument> | null | undefined;
  return typeof document?.attempts === 'number' ? (document as TaskDocument) : undefined;
}

/** Parses a result; undefined if it is not one. */
export function readResult(data: Buffer): ResultDocument | undefined {
  const document = decode(data) as Partial<ResultDocument> | null | undefined;
  return typeof document?.outcome?.ok === 'boolean' ? (document as ResultDocument) : undefined;
}
