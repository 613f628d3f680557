/** Watches Redis: whether it answers, and whether its settings keep work safe. */
import { messageOf, sleep, type Log } from '@thermomesh/runtime';
import type { Redis } from 'ioredis';
import type { Unavailable } from '../core/ports.ts';
import { unsafeBecause } from '../core/redis-safety.ts';

/** Knows whether Redis can be used. */
export interface RedisGuard {
  start(): void;
  stop(): Promise<void>;
  /** Why Redis cannot be used now; undefined if it can. */
  unavailable(): Unavailable | undefined;
}

export interface RedisGuardOptions {
  /** Interval of the checks. */
  checkMs: number;
  log: Log;
  /** Called each time that Redis becomes usable. */
  onReady: () => void;
}

const notChecked: Unavailable = { code: 'checkout.redis_down', detail: 'Redis has not answered yet' };
const closed: Unavailable = { code: 'checkout.redis_down', detail: 'the connection to Redis is closed' };

/** Makes a guard; it checks Redis after `start`. */
export function createRedisGuard(client: Redis, { checkMs, log, onReady }: RedisGuardOptions): RedisGuard {
  const stopping = new AbortController();
  let unavailable: Unavailable | undefined = notChecked;
  let loop: Promise<void> = Promise.resolve();

  function become(next: Unavailable | undefined): void {
    const changed = next?.code !== unavailable?.code;
    unavailable = next;
    if (!changed || stopping.signal.aborted) return;
    if (next === undefined) {
      log.info({ event: 'checkout.redis_ready' });
      onReady();
    } else {
      const unsafe = next.code === 'checkout.redis_unsafe';
      log.warn({ event: unsafe ? 'checkout.redis_unsafe' : 'checkout.redis_down', reason: next.detail });
    }
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
      await sleep(checkMs, stopping.signal);
    }
  }

  // After a reconnect the server may be another one with other settings, so it is checked again
  // before it is used.
  client.on('close', () => become(closed));
  client.on('ready', () => void look());
  return {
    start() {
      loop = run();
    },
    async stop() {
      stopping.abort();
      await loop;
    },
    unavailable: () => unavailable,
  };
}
