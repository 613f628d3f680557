/** Waits that end: with the recipe, with the caller's signal, or in time. */
import type { WaitOptions } from '../client/zookeeper.ts';
import { ZooKeeperError } from '../errors.ts';

export interface Bounds extends WaitOptions {
  /** Of the recipe. */
  closing: AbortSignal;
  path: string;
  /** What has not come about, for the message: asked when it is too late. */
  what: () => string;
}

/**
 * Runs `wait` with a signal that ends it.
 * @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the caller's signal's reason; what `wait` throws
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
