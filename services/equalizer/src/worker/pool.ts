/** A few worker threads for pixels: libvips and the histogram loops run there, so that the event loop keeps its heartbeats. */
import { Worker } from 'node:worker_threads';
import { MeshError, messageOf } from '@thermomesh/runtime';
import { imageLimitsDefault, type ImageLimits } from '../image/limits.ts';
import type { Answer, ImageTask, ResultOf, ThreadSettings } from './messages.ts';

export interface ImageWorkersOptions {
  /** Tasks that run at once. */
  threads?: number;
  /** Tasks that may wait; one more is refused. */
  queueMax?: number;
  /** A task that takes longer is given up, and its thread ended. */
  taskTimeoutMs?: number;
  limits?: ImageLimits;
  /** A thread ended that was not asked to. */
  onCrash?: (error: MeshError) => void;
  /** For tests: another entry. */
  entry?: URL;
}

export interface ImageWorkers {
  /**
   * Runs a task on the next free thread, in the order of the calls. When the promise settles, no thread works on the task any more.
   * @param signal cancels: a waiting task at once, a running one when it has ended (its result is dropped)
   * @throws MeshError `worker.queue_full` (retriable), `worker.crashed` (retriable), `worker.timed_out`, `worker.cancelled`,
   *   `worker.closed`, `worker.failed`, and the codes of `image/` and of the equalization
   */
  run<T extends ImageTask>(task: T, signal?: AbortSignal): Promise<ResultOf<T>>;
  /** Starts the threads before the first task needs them: loading libvips takes some tenths of a second. */
  warm(): void;
  readonly running: number;
  readonly waiting: number;
  /** Refuses what waits, waits for what runs by `graceMs`, then ends the threads. */
  close(graceMs?: number): Promise<void>;
}

const threadsDefault = 2;
const queueMaxDefault = 256;
const taskTimeoutMsDefault = 600_000;
const graceMsDefault = 10_000;
const entryDefault = new URL('./thread.ts', import.meta.url);

interface Job {
  task: ImageTask;
  signal: AbortSignal | undefined;
  resolve: (result: unknown) => void;
  reject: (error: MeshError) => void;
}

/** One thread and what it is doing. */
interface Seat {
  worker: Worker;
  job: Job | undefined;
  timer: NodeJS.Timeout | undefined;
  /** Why it is being ended; undefined while nobody asked. */
  ending: MeshError | undefined;
}

/** Starts no thread before the first task. */
export function createImageWorkers(options: ImageWorkersOptions = {}): ImageWorkers {
  return new Pool(options);
}

class Pool implements ImageWorkers {
  readonly #options: Required<Omit<ImageWorkersOptions, 'onCrash'>> & Pick<ImageWorkersOptions, 'onCrash'>;
  readonly #seats = new Set<Seat>();
  #queue: Job[] = [];
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
    return [...this.#seats].filter((seat) => seat.job !== undefined).length;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  warm(): void {
    while (this.#closing === undefined && this.#seats.size < this.#options.threads) this.#open();
  }

  async run<T extends ImageTask>(task: T, signal?: AbortSignal): Promise<ResultOf<T>> {
    if (this.#closing !== undefined) throw closed();
    if (signal?.aborted === true) throw cancelled();
    if (this.#queue.length >= this.#options.queueMax) {
      throw new MeshError('worker.queue_full', `${this.#queue.length} image tasks wait already`, {
        retriable: true,
      });
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const job: Job = { task, signal, resolve, reject };
    const onAbort = () => {
      this.#dropWaiting(job);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#queue.push(job);
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
    for (const job of refused) job.reject(closed());
    if (this.running > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, graceMs);
      this.#idle = resolve;
      await promise;
      clearTimeout(timer);
    }
    await Promise.all([...this.#seats].map(async (seat) => this.#end(seat, closed())));
  }

  #dropWaiting(job: Job): void {
    const at = this.#queue.indexOf(job);
    if (at < 0) return;
    this.#queue.splice(at, 1);
    job.reject(cancelled());
  }

  #next(): void {
    while (this.#queue.length > 0) {
      const idle = [...this.#seats].find((seat) => seat.job === undefined && seat.ending === undefined);
      const seat = idle ?? (this.#seats.size < this.#options.threads ? this.#open() : undefined);
      const job = seat === undefined ? undefined : this.#queue.shift();
      if (seat === undefined || job === undefined) return;
      seat.job = job;
      seat.timer = setTimeout(() => {
        const limit = `${job.task.kind} took more than ${this.#options.taskTimeoutMs} ms`;
        void this.#end(seat, new MeshError('worker.timed_out', limit));
      }, this.#options.taskTimeoutMs);
      seat.worker.ref();
      seat.worker.postMessage(job.task);
    }
  }

  #open(): Seat {
    const settings: ThreadSettings = { limits: this.#options.limits };
    const worker = new Worker(this.#options.entry, { workerData: settings });
    const seat: Seat = { worker, job: undefined, timer: undefined, ending: undefined };
    this.#seats.add(seat);
    worker.on('message', (answer: Answer) => {
      this.#finish(seat, answer);
    });
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', (code) => {
      this.#gone(seat, code, cause);
    });
    // An idle thread keeps no process alive.
    worker.unref();
    return seat;
  }

  #finish(seat: Seat, answer: Answer): void {
    const job = this.#clear(seat);
    seat.worker.unref();
    if (job?.signal?.aborted === true) job.reject(cancelled());
    else if ('result' in answer) job?.resolve(answer.result);
    else {
      const { code, message, retriable } = answer.failure;
      job?.reject(new MeshError(code, message, { retriable }));
    }
    this.#after();
  }

  /** Takes the thread's task from it, if it has one. */
  #clear(seat: Seat): Job | undefined {
    const { job } = seat;
    clearTimeout(seat.timer);
    seat.job = undefined;
    return job;
  }

  #after(): void {
    if (this.running === 0) this.#idle?.();
    this.#next();
  }

  /** The task is answered when the thread is gone (`#gone`): only then does nobody write its files any more. */
  async #end(seat: Seat, reason: MeshError): Promise<void> {
    clearTimeout(seat.timer);
    seat.ending = reason;
    await seat.worker.terminate();
  }

  /** A thread has ended: because `#end` said so, or by itself (out of memory, a bug). */
  #gone(seat: Seat, code: number, cause: unknown): void {
    this.#seats.delete(seat);
    const job = this.#clear(seat);
    if (seat.ending === undefined) {
      const why = cause === undefined ? `exit code ${code}` : messageOf(cause);
      const error = new MeshError('worker.crashed', `an image thread ended: ${why}`, {
        retriable: true,
        cause,
      });
      this.#options.onCrash?.(error);
      job?.reject(error);
    } else {
      job?.reject(seat.ending);
    }
    this.#after();
  }
}

function closed(): MeshError {
  return new MeshError('worker.closed', 'the image workers are closed');
}

function cancelled(): MeshError {
  return new MeshError('worker.cancelled', 'the image task was cancelled');
}
