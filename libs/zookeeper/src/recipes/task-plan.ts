/** Who shall do which task, and how that is written down. Pure. */
import { decode } from './documents.ts';

/** The node of a task that is not finished. Whoever writes it expects the version that it has read. */
export interface TaskDocument {
  payload: unknown;
  /** How many workers it has been given to. */
  attempts: number;
  /** Whose it is; a worker has another name in each of its sessions. */
  worker?: string;
  /** Of the master that gave it to the worker. */
  masterEpoch?: string;
}

/** What became of a task. */
export type TaskOutcome = { ok: true; value: unknown } | { ok: false; error: string };

/** The node of a task that is finished. */
export interface ResultDocument {
  outcome: TaskOutcome;
  /** Whose answer it is; the name of the master if it gave the task up. */
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
  /** How many tasks it does at a time. */
  slots: number;
}

export type TaskStep =
  | { type: 'give'; task: KnownTask; worker: string }
  /** It has outlived too many workers: it may be what kills them. */
  | { type: 'give-up'; task: KnownTask };

/**
 * What the master has to do next: tasks that nobody has, and orphans of workers that are gone, go to whoever has most slots free, oldest first.
 * A task that a living worker has stays there. Those for which there is no slot wait.
 */
export function planTasks(
  tasks: readonly KnownTask[],
  workers: readonly KnownWorker[],
  attemptsMax: number,
): TaskStep[] {
  const free = new Map(workers.map(({ name, slots }) => [name, slots]));
  const homeless: KnownTask[] = [];
  for (const task of tasks) {
    const { worker } = task.document;
    const slots = worker === undefined ? undefined : free.get(worker);
    if (worker === undefined || slots === undefined) homeless.push(task);
    else free.set(worker, slots - 1);
  }
  const steps: TaskStep[] = [];
  for (const task of homeless.toSorted((left, right) => (left.submitted < right.submitted ? -1 : 1))) {
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

/** Undefined if it is none: somebody else has written there. */
export function readTask(data: Buffer): TaskDocument | undefined {
  const document = decode(data) as Partial<TaskDocument> | null | undefined;
  return typeof document?.attempts === 'number' ? (document as TaskDocument) : undefined;
}

/** Undefined if it is none. */
export function readResult(data: Buffer): ResultDocument | undefined {
  const document = decode(data) as Partial<ResultDocument> | null | undefined;
  return typeof document?.outcome?.ok === 'boolean' ? (document as ResultDocument) : undefined;
}
