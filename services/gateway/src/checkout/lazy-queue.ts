/**
 * The queue, loaded only after the broker listens: BullMQ takes a third of a second of CPU to load,
 * and devices must not wait for it.
 */
import { checkoutError } from './core/errors.ts';
import type { Unavailable, WorkQueue, WorkQueueOptions } from './core/ports.ts';

const notLoaded: Unavailable = { code: 'checkout.redis_down', detail: 'the queue is not open yet' };

type State =
  | { phase: 'new' }
  | { phase: 'loading'; loaded: Promise<void> }
  /** BullMQ cannot be loaded. */
  | { phase: 'failed' }
  | { phase: 'running'; queue: WorkQueue }
  /** The queue is undefined if it was never open. */
  | { phase: 'stopped'; queue: WorkQueue | undefined };

/** A queue that loads BullMQ when it starts; until then it is unavailable. */
export function createLazyQueue(options: WorkQueueOptions): WorkQueue {
  let state: State = { phase: 'new' };

  async function load(): Promise<void> {
    try {
      const { createBullQueue } = await import('./adapters/bull-queue.ts');
      if (state.phase !== 'loading') return;
      const queue = createBullQueue(options);
      queue.start();
      state = { phase: 'running', queue };
    } catch (error) {
      // The broker works without it: orders are refused, and the log has the reason.
      options.log.error({ event: 'checkout.start_failed', err: error });
      if (state.phase === 'loading') state = { phase: 'failed' };
    }
  }

  return {
    start() {
      state = { phase: 'loading', loaded: load() };
    },
    async add(checkoutIds) {
      const queue = openQueue(state);
      if (queue === undefined)
        throw checkoutError('checkout.redis_down', notLoaded.detail, { retriable: true });
      await queue.add(checkoutIds);
    },
    async stop(deadlineMs) {
      const before = state;
      const queue = openQueue(before);
      state = { phase: 'stopped', queue };
      if (before.phase === 'loading') await before.loaded;
      await queue?.stop(deadlineMs);
    },
    unavailable() {
      const queue = openQueue(state);
      return queue === undefined ? notLoaded : queue.unavailable();
    },
  };
}

/** The queue, if it is or was open. */
function openQueue(state: State): WorkQueue | undefined {
  switch (state.phase) {
    case 'new':
    case 'loading':
    case 'failed':
      return undefined;
    case 'running':
    case 'stopped':
      return state.queue;
  }
}
