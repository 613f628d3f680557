/** Watches the one Redis: whether it answers, and whether it may hold work. */
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, type Log } from '@thermomesh/runtime';
import type { Redis } from 'ioredis';
import type { Unavailable } from '../core/ports.ts';
import { unsafeBecause } from '../core/redis-safety.ts';

export interface RedisGuard {
  start(): void;
  stop(): Promise<void>;
  /** Why Redis cannot be used now; undefined if it can. */
  fault(): Unavailable | undefined;
}

const notYet: Unavailable = { code: 'checkout.redis_down', detail: 'Redis has not answered yet' };

/** @param onReady called each time that Redis can be used again */
export function createRedisGuard(
  client: Redis,
  { checkMs, log, onReady }: { checkMs: number; log: Log; onReady: () => void },
): RedisGuard {
  const stopping = new AbortController();
  let fault: Unavailable | undefined = notYet;
  let loop: Promise<void> = Promise.resolve();

  function become(next: Unavailable | undefined): void {
    const changed = next?.code !== fault?.code;
    fault = next;
    if (!changed || stopping.signal.aborted) return;
    if (next === undefined) {
      log.info({ event: 'checkout.redis_ready' });
      onReady();
    } else log.warn({ event: next.code, detail: next.detail });
  }

  async function look(): Promise<void> {
    try {
      const reason = unsafeBecause(await client.info());
      become(reason === undefined ? undefined : { code: 'checkout.redis_unsafe', detail: reason });
    } catch (error) {
      become({ code: 'checkout.redis_down', detail: messageOf(error) });
    }
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      await look();
      await delay(checkMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }

  // After a reconnect it may be another Redis, with other settings: nothing is believed until it has been asked.
  client.on('close', () =>
    become({ code: 'checkout.redis_down', detail: 'the connection to Redis is closed' }),
  );
  client.on('ready', () => void look());
  return {
    start() {
      loop = run();
    },
    async stop() {
      stopping.abort();
      await loop;
    },
    fault: () => fault,
  };
}
