/** Waits that end with the recipe, with the caller's signal, or after a timeout. */
import type { WaitOptions } from '../client/zookeeper.ts';
import { ZooKeeperError } from '../errors.ts';

export interface Bounds extends WaitOptions {
  /** Aborted when the recipe closes. */
  closing: AbortSignal;
  path: string;
  /** Returns what has not happened, for the error message. Called when the timeout passes. */
  what: () => string;
}

/**
 * Runs `wait` with a signal that ends it.
 * @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the caller's signal's reason;
 *   what `wait` throws
 */
export async function within<T>(bounds: Bounds, wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { closing, path, signal, timeoutMs, what } = bounds;
  const late = new AbortController();
  const expire = () =>
    late.abort(
      new ZooKeeperError('zookeeper.timeout', `${path}: ${what()} within ${timeoutMs} ms`, { path }),
    );
  const timer = timeoutMs === undefined ? undefined : setTimeout(expire, timeoutMs);
  const signals = [closing, late.signal, signal].filter((each) => each !== undefined);
  try {
    return await wait(AbortSignal.any(signals));
  } finally {
    clearTimeout(timer);
  }
}
