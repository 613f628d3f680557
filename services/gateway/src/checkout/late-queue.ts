/** The queue, loaded once the broker listens: BullMQ costs a third of a second of CPU, for which no device shall wait. */
import { MeshError } from '@thermomesh/runtime';
import type { BullQueue, BullQueueOptions } from './adapters/bull-queue.ts';
import type { Unavailable } from './core/ports.ts';

const notYet: Unavailable = { code: 'checkout.redis_down', detail: 'the queue is not open yet' };

export function createLateQueue(options: BullQueueOptions): BullQueue {
  let queue: BullQueue | undefined;
  let loading: Promise<void> = Promise.resolve();
  let stopping = false;

  async function load(): Promise<void> {
    try {
      const { createBullQueue } = await import('./adapters/bull-queue.ts');
      queue = createBullQueue(options);
      if (!stopping) queue.start();
    } catch (error) {
      // The broker goes on without: orders are refused, and the log says why.
      options.log.error({ event: 'checkout.start_failed', err: error });
    }
  }

  return {
    start() {
      loading = load();
    },
    async add(checkoutIds) {
      if (queue === undefined) throw new MeshError(notYet.code, notYet.detail, { retriable: true });
      await queue.add(checkoutIds);
    },
    async stop(deadlineMs) {
      stopping = true;
      await loading;
      await queue?.stop(deadlineMs);
    },
    fault: () => (queue === undefined ? notYet : queue.fault()),
  };
}
