/**
 * A small pool of worker threads for image work. libvips and the histogram loops run there, so that
 * they never block the event loop and its heartbeats.
 */
import { Worker } from 'node:worker_threads';
import { MeshError, messageOf } from '@thermomesh/runtime';
import { equalizerError } from '../core/errors.ts';
import { imageLimitsDefault, type ImageLimits } from '../image/limits.ts';
import type { Answer, ImageTask, ResultOf, ThreadSettings } from './messages.ts';

export interface ImageWorkersOptions {
  /** Tasks that run at once. */
  threads?: number;
  /** Tasks that may wait; one more is refused. */
  queueMax?: number;
  /** Time limit of a task; on expiry its thread is terminated. */
  taskTimeoutMs?: number;
  limits?: ImageLimits;
  /** Receives the error when a thread ends unexpectedly. */
  onCrash?: (error: MeshError) => void;
  /** Entry file of the threads; tests replace it. */
  entry?: URL;
}

export interface ImageWorkers {
  /**
   * Runs a task on the next free thread, in the order of the calls. Once the promise is settled, no
   * thread works on the task.
   * @param signal cancels the task: a waiting task at once, a running one when it has ended (its
   *   result is dropped)
   * @throws MeshError `worker.queue_full` (retriable), `worker.crashed` (retriable),
   *   `worker.timed_out`, `worker.cancelled`, `worker.closed`, `worker.failed`, and the codes of
   *   `image/` and of the equalization
   */
  run<T extends ImageTask>(task: T, signal?: AbortSignal): Promise<ResultOf<T>>;
  /**
   * Starts the threads before the first task, because loading libvips takes some tenths of a
   * second.
   */
  warm(): void;
  /** Tasks that run now. */
  readonly running: number;
  /** Tasks that wait for a thread. */
  readonly waiting: number;
  /**
   * Refuses waiting tasks, waits up to `graceMs` for running ones, then terminates the threads.
   * Idempotent.
   */
  close(graceMs?: number): Promise<void>;
}

const threadsDefault = 2;
const queueMaxDefault = 256;
const taskTimeoutMsDefault = 600_000;
const graceMsDefault = 10_000;
const entryDefault = new URL('./thread.ts', import.meta.url);

interface QueuedTask {
  task: ImageTask;
  signal: AbortSignal | undefined;
  resolve: (result: unknown) => void;
  reject: (error: MeshError) => void;
}

/** What a thread does now. `ending`: the pool terminates it for `reason`. */
type ThreadState =
  | { name: 'idle' }
  | { name: 'working'; queued: QueuedTask; timer: NodeJS.Timeout }
  | { name: 'ending'; queued: QueuedTask | undefined; reason: MeshError };

/** One thread and what it does. */
interface WorkerSlot {
  worker: Worker;
  state: ThreadState;
}

/** Creates a pool. It starts no thread before the first task or `warm`. */
export function createImageWorkers(options: ImageWorkersOptions = {}): ImageWorkers {
  return new Pool(options);
}

class Pool implements ImageWorkers {
  readonly #options: Required<Omit<ImageWorkersOptions, 'onCrash'>> & Pick<ImageWorkersOptions, 'onCrash'>;
  readonly #slots = new Set<WorkerSlot>();
  #queue: QueuedTask[] = [];
  #closing: Promise<void> | undefined;
  #idle: (() => void) | undefined;

  constructor(options: ImageWorkersOptions) {
    this.#options = {
      threads: threadsDefault,
      queueMax: queueMaxDefault,
      taskTimeoutMs: taskTimeoutMsDefault,
      limits: imageLimitsDefault,
      entry: entryDefault,
      ...options,
    };
  }

  get running(): number {
    return [...this.#slots].filter((slot) => taskOf(slot) !== undefined).length;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  warm(): void {
    while (this.#closing === undefined && this.#slots.size < this.#options.threads) this.#open();
  }

  async run<T extends ImageTask>(task: T, signal?: AbortSignal): Promise<ResultOf<T>> {
    if (this.#closing !== undefined) throw closed();
    if (signal?.aborted === true) throw cancelled();
    if (this.#queue.length >= this.#options.queueMax) {
      throw equalizerError('worker.queue_full', `${this.#queue.length} image tasks are waiting already`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const queued: QueuedTask = { task, signal, resolve, reject };
    const onAbort = () => {
      this.#dropWaiting(queued);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#queue.push(queued);
    this.#next();
    try {
      return (await promise) as ResultOf<T>;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  close(graceMs: number = graceMsDefault): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    const refused = this.#queue;
    this.#queue = [];
    for (const queued of refused) queued.reject(closed());
    if (this.running > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, graceMs);
      this.#idle = resolve;
      await promise;
      clearTimeout(timer);
    }
    await Promise.all([...this.#slots].map(async (slot) => this.#end(slot, closed())));
  }

  #dropWaiting(queued: QueuedTask): void {
    const at = this.#queue.indexOf(queued);
    if (at < 0) return;
    this.#queue.splice(at, 1);
    queued.reject(cancelled());
  }

  #next(): void {
    while (this.#queue.length > 0) {
      const idle = [...this.#slots].find(({ state }) => state.name === 'idle');
      const slot = idle ?? (this.#slots.size < this.#options.threads ? this.#open() : undefined);
      const queued = slot === undefined ? undefined : this.#queue.shift();
      if (slot === undefined || queued === undefined) return;
      const timer = setTimeout(() => {
        const limit = `${queued.task.kind} took more than ${this.#options.taskTimeoutMs} ms`;
        void this.#end(slot, equalizerError('worker.timed_out', limit));
      }, this.#options.taskTimeoutMs);
      slot.state = { name: 'working', queued, timer };
      slot.worker.ref();
      slot.worker.postMessage(queued.task);
    }
  }

  #open(): WorkerSlot {
    const settings: ThreadSettings = { limits: this.#options.limits };
    const worker = new Worker(this.#options.entry, { workerData: settings });
    const slot: WorkerSlot = { worker, state: { name: 'idle' } };
    this.#slots.add(slot);
    worker.on('message', (answer: Answer) => {
      this.#finish(slot, answer);
    });
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', (code) => {
      this.#gone(slot, code, cause);
    });
    // An idle thread must not keep the process alive.
    worker.unref();
    return slot;
  }

  #finish(slot: WorkerSlot, answer: Answer): void {
    const queued = takeTask(slot);
    slot.worker.unref();
    if (queued?.signal?.aborted === true) queued.reject(cancelled());
    else if ('result' in answer) queued?.resolve(answer.result);
    else {
      const { code, message, retriable } = answer.failure;
      queued?.reject(new MeshError(code, message, { retriable }));
    }
    this.#continue();
  }

  #continue(): void {
    if (this.running === 0) this.#idle?.();
    this.#next();
  }

  /**
   * The task is answered when the thread has ended (`#gone`): only then are its files no longer
   * written.
   */
  async #end(slot: WorkerSlot, reason: MeshError): Promise<void> {
    if (slot.state.name === 'working') clearTimeout(slot.state.timer);
    slot.state = { name: 'ending', queued: taskOf(slot), reason };
    await slot.worker.terminate();
  }

  /** A thread has ended: terminated by `#end`, or on its own (out of memory, a bug). */
  #gone(slot: WorkerSlot, code: number, cause: unknown): void {
    this.#slots.delete(slot);
    const queued = takeTask(slot);
    if (slot.state.name !== 'ending') {
      const why = cause === undefined ? `exit code ${code}` : messageOf(cause);
      const error = equalizerError('worker.crashed', `an image thread ended: ${why}`, { cause });
      this.#options.onCrash?.(error);
      queued?.reject(error);
    } else {
      queued?.reject(slot.state.reason);
    }
    this.#continue();
  }
}

function taskOf({ state }: WorkerSlot): QueuedTask | undefined {
  return state.name === 'idle' ? undefined : state.queued;
}

/** Removes the task from its thread, if there is one. */
function takeTask(slot: WorkerSlot): QueuedTask | undefined {
  const queued = taskOf(slot);
  switch (slot.state.name) {
    case 'idle':
      break;
    case 'working':
      clearTimeout(slot.state.timer);
      slot.state = { name: 'idle' };
      break;
    case 'ending':
      slot.state = { ...slot.state, queued: undefined };
      break;
  }
  return queued;
}

function closed(): MeshError {
  return equalizerError('worker.closed', 'the image workers are closed');
}

function cancelled(): MeshError {
  return equalizerError('worker.cancelled', 'the image task was cancelled');
}
