/**
 * Natural batching: while one statement runs, the calls that come meanwhile gather for the next one. A call that comes alone goes
 * alone and at once; the fuller the service, the more calls share a round trip and a commit.
 */
import { MeshError } from '@thermomesh/runtime';

export interface GatherOptions<I, R> {
  /** Items of one statement at most. */
  itemsMax: number;
  /** Calls that wait for a statement at most; more are refused (`payments.busy`, retriable). */
  waitingMax: number;
  /** Items with the same key never share a statement: the later one waits for the next. */
  keyOf: (item: I) => string;
  /** One statement, all or nothing. Results in the order of `items`. */
  run: (items: readonly I[]) => Promise<readonly R[]>;
  /** Told of each statement that succeeded. */
  onStatement?: (items: number) => void;
}

interface Call<I, R> {
  item: I;
  key: string;
  resolve: (result: R) => void;
  reject: (reason: unknown) => void;
}

/** Each call gets the result of its own item. @throws what `run` threw for the item, or MeshError `payments.busy` */
export function createGather<I, R>(options: GatherOptions<I, R>): (item: I) => Promise<R> {
  const { itemsMax, waitingMax, keyOf, run, onStatement } = options;
  let waiting: Call<I, R>[] = [];
  let running = false;

  async function runAll(): Promise<void> {
    while (waiting.length > 0) await settle(take());
    running = false;
  }

  /** The oldest calls, one of each key. */
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
   * A statement that fails for a reason that may lie in one item is bisected down to it, so that it fails alone. What passes by
   * itself (no connection, say) is nobody's fault and told to all: their work is in doubt, as after any lost answer.
   */
  async function settle(batch: readonly Call<I, R>[]): Promise<void> {
    let results: readonly R[];
    try {
      results = await run(batch.map(({ item }) => item));
    } catch (error) {
      if (batch.length === 1 || passes(error)) {
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
        reject(
          new MeshError('payments.busy', `${waitingMax} calls wait for the database already`, {
            retriable: true,
          }),
        );
        return;
      }
      waiting.push({ item, key: keyOf(item), resolve, reject });
      if (running) return;
      running = true;
      // Not at once: calls that were read from their sockets in this turn of the event loop come along.
      setImmediate(() => void runAll());
    });
}

/** True for a failure that says nothing about the items: no connection, a deadline. */
export function passes(error: unknown): boolean {
  return error instanceof MeshError && error.retriable;
}
