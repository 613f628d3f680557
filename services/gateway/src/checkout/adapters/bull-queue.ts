/** The queue of checkouts: BullMQ on Redis. Jobs hold the id of their checkout and nothing else. */
import { codeOf, MeshError, type Log } from '@thermomesh/runtime';
import { Queue, Worker } from 'bullmq';
import { Redis, type CommonRedisOptions } from 'ioredis';
import { pauseMs, type BackoffLimits } from '../core/backoff.ts';
import type { CheckoutQueue, Unavailable } from '../core/ports.ts';
import { createRedisGuard } from './redis-guard.ts';

export interface BullQueue extends CheckoutQueue {
  start(): void;
  /** Takes no more work, waits for what is under way until the deadline, then closes. */
  stop(deadlineMs: number): Promise<void>;
  /** Why nothing can be handed over now; undefined if it can. */
  fault(): Unavailable | undefined;
}

export interface BullQueueOptions {
  url: string;
  /** Gateways that share it take each other's jobs. */
  name: string;
  concurrency: number;
  lockMs: number;
  stalledIntervalMs: number;
  checkMs: number;
  backoff: BackoffLimits;
  /** One attempt; a rejection is another attempt after a pause. */
  work: (checkoutId: string) => Promise<unknown>;
  /** Redis can be used, for the first time or again. */
  onReady: () => void;
  log: Log;
}

/** Replies stay in the shape that BullMQ reads. */
type ClientOptions = Omit<CommonRedisOptions, 'replyMapping'>;

/** The truth is in SQL: the queue may try as often and recover as often as it likes. */
const unlimited = 1_000_000_000;
const prefix = 'thermomesh';
const backoffName = 'checkout';
const reconnectFirstMs = 50;
/** What is left of a close after its work has ended. */
const closeTimeoutMs = 1_000;

export function createBullQueue(options: BullQueueOptions): BullQueue {
  const clients: Redis[] = [];
  const track = (client: Redis) => {
    // Told by the guard: the events of a connection that is being made again are noise.
    client.on('error', () => undefined);
    const duplicate = client.duplicate.bind(client);
    client.duplicate = (more) => track(duplicate(more));
    clients.push(client);
    return client;
  };
  const connect = (more: ClientOptions) =>
    track(new Redis(options.url, { ...connectionOptions(options), ...more }));
  // Commands of callers that can wait for nothing: they fail at once while Redis is away.
  const front = connect({
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: options.checkMs,
    lazyConnect: true,
  });
  const guard = createRedisGuard(front, options);
  let work: { queue: Queue; worker: RunningWorker } | undefined;
  let stopping = false;
  return {
    start() {
      guard.start();
      work = {
        queue: openQueue(options, front),
        worker: startWorker(options, connect({ maxRetriesPerRequest: null })),
      };
      front.connect().catch(() => undefined);
    },
    async add(checkoutIds) {
      if (work === undefined || stopping) throw new MeshError('checkout.stopping', 'the queue is closed');
      const jobs = checkoutIds.map((checkoutId) => ({
        name: 'checkout',
        data: { checkoutId },
        // The same checkout is one job while it is in the queue.
        opts: { jobId: checkoutId },
      }));
      await within(work.queue.addBulk(jobs), 2 * options.checkMs);
    },
    async stop(deadlineMs) {
      if (stopping) return;
      stopping = true;
      await Promise.all([work?.worker.stop(deadlineMs), guard.stop()]);
      if (work !== undefined)
        await Promise.race([work.queue.close().catch(() => undefined), pause(closeTimeoutMs)]);
      for (const client of clients) client.disconnect();
    },
    fault: () => guard.fault(),
  };
}

function connectionOptions({ checkMs, log }: BullQueueOptions): ClientOptions {
  return {
    connectTimeout: Math.max(1_000, checkMs),
    keepAlive: 10_000,
    retryStrategy: (times) => Math.min(checkMs, reconnectFirstMs * 2 ** Math.min(times, 10)),
    // A failover leaves a replica behind at the old address.
    reconnectOnError: (error) => {
      const readOnly = error.message.startsWith('READONLY');
      if (readOnly) log.warn({ event: 'checkout.redis_readonly' });
      return readOnly;
    },
  };
}

function openQueue({ name, log }: BullQueueOptions, connection: Redis): Queue {
  const queue = new Queue(name, {
    connection,
    prefix,
    defaultJobOptions: {
      attempts: unlimited,
      backoff: { type: backoffName },
      // A job that has ended is gone: its id is free for the outbox to hand over again.
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

function startWorker(options: BullQueueOptions, connection: Redis): RunningWorker {
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
      // Each stall is a worker that died: no reason to give the checkout up.
      maxStalledCount: unlimited,
      runRetryDelay: options.checkMs,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
      settings: { backoffStrategy: (made) => pauseMs(made, backoff, Math.random()) },
    },
  );
  worker.on('error', (error) => log.debug({ event: 'checkout.worker_error', code: codeOf(error) }));
  return {
    async stop(deadlineMs) {
      const closed = worker.close().catch(() => undefined);
      await Promise.race([Promise.allSettled(underWay), pause(Math.max(0, deadlineMs - Date.now()))]);
      // Without Redis it would wait for ever to say that jobs are done. Who takes them next finds them final.
      await Promise.race([closed, pause(closeTimeoutMs)]);
    },
  };
}

/** What a failed job says is stored in Redis: the code, and nothing that an error may carry. */
async function attempt(work: BullQueueOptions['work'], checkoutId: string): Promise<void> {
  try {
    await work(checkoutId);
  } catch (error) {
    throw new MeshError('checkout.attempt_failed', codeOf(error) ?? 'unknown');
  }
}

async function within<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new MeshError('checkout.redis_down', 'Redis has not answered in time')),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms).unref());
}
