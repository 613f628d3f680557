/** Lets many callers wait for values in a store: one query per poll serves all of them. */
import { sleep } from './async.ts';

export interface PollingWatchOptions<Key, Found> {
  /** Pause between two polls. */
  pollMs: number;
  /** Equal keys have equal texts: callers that wait for equal keys share one entry of a query. */
  keyText: (key: Key) => string;
  /** Looks for the values of `keys`, each key once, and returns those that exist. */
  find: (keys: Key[]) => Promise<readonly Found[]>;
  /** The text of the key that a found value belongs to. */
  foundText: (found: Found) => string;
  /**
   * Receives the error of a failed poll; the callers keep waiting and the next poll follows after
   * the same pause. Without this function a failed poll rejects every wait.
   */
  onError?: (error: unknown) => void;
}

/** How long one caller waits; without either limit, until the value appears. */
export interface WaitLimits {
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface PollingWatch<Key, Found> {
  /**
   * Resolves with the value once a poll finds it, or with undefined when a limit is reached first.
   * Polling runs only while callers wait.
   * @throws the error of a failed poll, if the watch has no `onError`
   */
  wait(key: Key, limits?: WaitLimits): Promise<Found | undefined>;
  /** Cuts the present pause short if a caller waits for `key`. */
  wake(key: Key): void;
  /** Number of different keys that callers wait for. */
  readonly size: number;
}

/** What the polling does now: nothing, a query, or the pause behind one. */
type Polling = { name: 'idle' } | { name: 'asking' } | { name: 'pausing'; pause: AbortController };

interface Waiter<Found> {
  settle: (found: Found | undefined) => void;
  fail: (reason: unknown) => void;
}

interface Entry<Key, Found> {
  key: Key;
  waiters: Set<Waiter<Found>>;
}

/** A watch that holds no timer and makes no query while no caller waits. */
export function createPollingWatch<Key, Found>(
  options: PollingWatchOptions<Key, Found>,
): PollingWatch<Key, Found> {
  const { pollMs, keyText, find, foundText, onError } = options;
  const entries = new Map<string, Entry<Key, Found>>();
  let polling: Polling = { name: 'idle' };

  async function poll(): Promise<void> {
    while (entries.size > 0) {
      polling = { name: 'asking' };
      try {
        for (const found of await find([...entries.values()].map(({ key }) => key)))
          for (const waiter of entries.get(foundText(found))?.waiters ?? []) waiter.settle(found);
      } catch (error) {
        if (onError !== undefined) onError(error);
        else for (const { waiters } of entries.values()) for (const waiter of waiters) waiter.fail(error);
      }
      const pause = new AbortController();
      polling = { name: 'pausing', pause };
      await sleep(pollMs, pause.signal);
    }
    polling = { name: 'idle' };
  }

  return {
    get size() {
      return entries.size;
    },
    wake(key) {
      if (polling.name === 'pausing' && entries.has(keyText(key))) polling.pause.abort();
    },
    async wait(key, { timeoutMs, signal } = {}) {
      if (signal?.aborted === true) return undefined;
      const text = keyText(key);
      const entry = entries.get(text) ?? { key, waiters: new Set() };
      entries.set(text, entry);
      const outcome = Promise.withResolvers<Found | undefined>();
      const waiter = { settle: outcome.resolve, fail: outcome.reject };
      entry.waiters.add(waiter);
      const giveUp = () => outcome.resolve(undefined);
      const timer = timeoutMs === undefined ? undefined : setTimeout(giveUp, timeoutMs);
      signal?.addEventListener('abort', giveUp, { once: true });
      if (polling.name === 'idle') void poll();
      try {
        return await outcome.promise;
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener('abort', giveUp);
        entry.waiters.delete(waiter);
        if (entry.waiters.size === 0 && entries.get(text) === entry) entries.delete(text);
      }
    },
  };
}
