/**
 * Natural batching: while one statement runs, the calls that come meanwhile gather for the next
 * one. A call that comes alone runs alone and at once. The busier the service, the more calls share
 * a round trip and a commit.
 */
import { isRetriable } from '@thermomesh/runtime';
import { billingError } from './core/errors.ts';

export interface GatherOptions<I, R> {
  /** Maximum number of items in one statement. */
  itemsMax: number;
  /** Maximum number of waiting calls; further calls are refused (`payments.busy`, retriable). */
  waitingMax: number;
  /** Items with the same key never share a statement: the later one waits for the next. */
  keyOf: (item: I) => string;
  /** Executes one statement for all items or none. Returns results in the order of `items`. */
  run: (items: readonly I[]) => Promise<readonly R[]>;
  /** Called after each statement that succeeded. */
  onStatement?: (items: number) => void;
}

interface Call<I, R> {
  item: I;
  key: string;
  resolve: (result: R) => void;
  reject: (reason: unknown) => void;
}

/**
 * Creates a function that gathers its calls. Each call gets the result of its own item.
 * @throws what `run` threw for the item, or MeshError `payments.busy`
 */
export function createGather<I, R>(options: GatherOptions<I, R>): (item: I) => Promise<R> {
  const { itemsMax, waitingMax, keyOf, run, onStatement } = options;
  let waiting: Call<I, R>[] = [];
  let state: 'idle' | 'running' = 'idle';

  async function runAll(): Promise<void> {
    while (waiting.length > 0) await settle(take());
    state = 'idle';
  }

  /**
   * Starts in the next turn of the event loop, so that calls which were read from their sockets in
   * this turn share the statement.
   */
  function ensureRunning(): void {
    switch (state) {
      case 'idle':
        state = 'running';
        setImmediate(() => void runAll());
        return;
      case 'running':
        return;
    }
  }

  /** Takes the oldest calls, one of each key. */
  function take(): Call<I, R>[] {
    const keys = new Set<string>();
    const batch: Call<I, R>[] = [];
    const rest: Call<I, R>[] = [];
    for (const call of waiting) {
      const fits = batch.length < itemsMax && !keys.has(call.key);
      (fits ? batch : rest).push(call);
      // Later calls of a key must not overtake an earlier one that waits.
      keys.add(call.key);
    }
    waiting = rest;
    return batch;
  }

  /**
   * Executes a batch. If the reason of a failure may lie in one item, the batch is bisected down to
   * that item, which then fails alone. A retriable failure (no connection, for example) is not
   * caused by an item and goes to all calls: their work is in doubt, as after any lost answer.
   */
  async function settle(batch: readonly Call<I, R>[]): Promise<void> {
    let results: readonly R[];
    try {
      results = await run(batch.map(({ item }) => item));
    } catch (error) {
      if (batch.length === 1 || isRetriable(error)) {
        for (const { reject } of batch) reject(error);
        return;
      }
      const half = Math.ceil(batch.length / 2);
      await settle(batch.slice(0, half));
      await settle(batch.slice(half));
      return;
    }
    onStatement?.(batch.length);
    for (const [index, { resolve }] of batch.entries()) resolve(results[index]!);
  }

  return async (item) =>
    new Promise<R>((resolve, reject) => {
      if (waiting.length >= waitingMax) {
        reject(billingError('payments.busy', `${waitingMax} calls wait for the database already`));
        return;
      }
      waiting.push({ item, key: keyOf(item), resolve, reject });
      ensureRunning();
    });
}
