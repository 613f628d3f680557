/** The queue of checkouts: BullMQ on Redis. A job holds the id of its checkout and nothing else. */
import { codeOf, raceTimeout } from '@thermomesh/runtime';
import { Queue, Worker } from 'bullmq';
import { Redis, type CommonRedisOptions } from 'ioredis';
import { attemptPauseMs } from '../core/attempt-pause.ts';
import { checkoutError } from '../core/errors.ts';
import type { WorkQueue, WorkQueueOptions } from '../core/ports.ts';
import { createRedisGuard } from './redis-guard.ts';

/** Replies stay in the shape that BullMQ reads. */
type ClientOptions = Omit<CommonRedisOptions, 'replyMapping'>;

/** The truth is in SQL, so the queue may try and recover as often as it needs to. */
const unlimited = 1_000_000_000;
const prefix = 'thermomesh';
const backoffName = 'checkout';
const reconnectFirstMs = 50;
/** Time limit for closing after the work has ended. */
const closeTimeoutMs = 1_000;

type State =
  { phase: 'new' } | { phase: 'running'; queue: Queue; worker: RunningWorker } | { phase: 'stopped' };

/** Makes a queue; it connects after `start`. */
export function createBullQueue(options: WorkQueueOptions): WorkQueue {
  const clients: Redis[] = [];
  const track = (client: Redis) => {
    // The guard reports that Redis is away; the error of each reconnect adds nothing.
    client.on('error', () => undefined);
    const duplicate = client.duplicate.bind(client);
    client.duplicate = (more) => track(duplicate(more));
    clients.push(client);
    return client;
  };
  const connect = (more: ClientOptions) =>
    track(new Redis(options.url, { ...connectionOptions(options), ...more }));
  // Callers of these commands cannot wait: while Redis is away the commands fail at once.
  const front = connect({
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: options.checkMs,
    lazyConnect: true,
  });
  const guard = createRedisGuard(front, options);
  let state: State = { phase: 'new' };
  return {
    start() {
      guard.start();
      state = {
        phase: 'running',
        queue: openQueue(options, front),
        worker: startWorker(options, connect({ maxRetriesPerRequest: null })),
      };
      front.connect().catch(() => undefined);
    },
    async add(checkoutIds) {
      if (state.phase !== 'running') throw checkoutError('checkout.stopping', 'the queue is closed');
      const jobs = checkoutIds.map((checkoutId) => ({
        name: 'checkout',
        data: { checkoutId },
        // The same checkout is one job while it is in the queue.
        opts: { jobId: checkoutId },
      }));
      await raceTimeout(state.queue.addBulk(jobs), 2 * options.checkMs, () =>
        checkoutError('checkout.redis_down', 'Redis has not answered in time', { retriable: false }),
      );
    },
    async stop(deadlineMs) {
      if (state.phase === 'stopped') return;
      const running = state.phase === 'running' ? state : undefined;
      state = { phase: 'stopped' };
      await Promise.all([running?.worker.stop(deadlineMs), guard.stop()]);
      if (running !== undefined) await settledWithin(running.queue.close(), closeTimeoutMs);
      for (const client of clients) client.disconnect();
    },
    unavailable: () => guard.unavailable(),
  };
}

function connectionOptions({ checkMs, log }: WorkQueueOptions): ClientOptions {
  return {
    connectTimeout: Math.max(1_000, checkMs),
    keepAlive: 10_000,
    retryStrategy: (times) => Math.min(checkMs, reconnectFirstMs * 2 ** Math.min(times, 10)),
    // After a failover the old address belongs to a replica.
    reconnectOnError: (error) => {
      const readOnly = error.message.startsWith('READONLY');
      if (readOnly) log.warn({ event: 'checkout.redis_readonly' });
      return readOnly;
    },
  };
}

function openQueue({ name, log }: WorkQueueOptions, connection: Redis): Queue {
  const queue = new Queue(name, {
    connection,
    prefix,
    defaultJobOptions: {
      attempts: unlimited,
      backoff: { type: backoffName },
      // A finished job is removed, so that the outbox can hand over the same id again.
      removeOnComplete: true,
      removeOnFail: true,
      stackTraceLimit: 0,
      keepLogs: 0,
    },
  });
  queue.on('error', (error) => log.debug({ event: 'checkout.queue_error', code: codeOf(error) }));
  return queue;
}

interface RunningWorker {
  stop(deadlineMs: number): Promise<void>;
}

function startWorker(options: WorkQueueOptions, connection: Redis): RunningWorker {
  const { log, backoff } = options;
  const underWay = new Set<Promise<unknown>>();
  const worker = new Worker<{ checkoutId: string }>(
    options.name,
    async ({ data }) => {
      const work = attempt(options.work, data.checkoutId);
      underWay.add(work);
      try {
        await work;
      } finally {
        underWay.delete(work);
      }
    },
    {
      connection,
      prefix,
      concurrency: options.concurrency,
      lockDuration: options.lockMs,
      stalledInterval: options.stalledIntervalMs,
      // A job stalls when its worker dies, which is no reason to give up the checkout.
      maxStalledCount: unlimited,
      runRetryDelay: options.checkMs,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
      settings: { backoffStrategy: (attempts) => attemptPauseMs(attempts, backoff, Math.random()) },
    },
  );
  worker.on('error', (error) => log.debug({ event: 'checkout.worker_error', code: codeOf(error) }));
  return {
    async stop(deadlineMs) {
      const closed = worker.close();
      closed.catch(() => undefined);
      await settledWithin(Promise.allSettled(underWay), Math.max(0, deadlineMs - Date.now()));
      // Without Redis the worker cannot report finished jobs and would wait without limit. The
      // worker that takes these jobs next finds their checkouts final.
      await settledWithin(closed, closeTimeoutMs);
    },
  };
}

/** Redis stores the message of a failed job: the message is the code and nothing else. */
async function attempt(work: WorkQueueOptions['work'], checkoutId: string): Promise<void> {
  try {
    await work(checkoutId);
  } catch (error) {
    throw checkoutError('checkout.attempt_failed', codeOf(error) ?? 'unknown');
  }
}

/** Resolves when `work` settles, at the latest after `timeoutMs`. */
async function settledWithin(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  await raceTimeout(work, timeoutMs, () => new Error('not settled in time')).catch(() => undefined);
}
