/** Server-sent events of checkouts: the present status, then the final one. */
import { PassThrough, type Readable } from 'node:stream';
import { viewOf, type Checkout } from './core/checkout.ts';
import type { FinalWatch } from './final-watch.ts';

/** Which limit is reached: that of all streams, or that of one caller. */
export type TooMany = 'streams' | 'streams_of_caller';

/** All event streams of this gateway. */
export interface EventStreams {
  /**
   * Opens a stream for `caller`.
   * @returns the name of the limit if it is reached
   */
  open(caller: string, checkout: Checkout): Readable | TooMany;
  /** Ends all streams; their clients reconnect. */
  close(): void;
  readonly size: number;
}

/** Id of the last event; a client that has received it has no reason to reconnect. */
export const lastEventId = '2';
const reconnectMs = 1_000;

export interface EventStreamsOptions {
  watch: FinalWatch;
  streamsMax: number;
  streamsPerCallerMax: number;
  heartbeatMs: number;
}

/** Makes the set of streams, which is empty at first. */
export function createEventStreams(options: EventStreamsOptions): EventStreams {
  const { watch, streamsMax, streamsPerCallerMax, heartbeatMs } = options;
  const open = new Set<PassThrough>();
  const ofCaller = new Map<string, number>();

  function count(caller: string, by: 1 | -1): void {
    const now = (ofCaller.get(caller) ?? 0) + by;
    if (now === 0) ofCaller.delete(caller);
    else ofCaller.set(caller, now);
  }

  function follow(stream: PassThrough, checkoutId: string): void {
    const gone = new AbortController();
    // Comments show proxies that the connection is alive, and find clients that are gone.
    const heartbeat = setInterval(() => stream.write(': \n\n'), heartbeatMs);
    stream.once('close', () => {
      clearInterval(heartbeat);
      gone.abort();
    });
    void watch.wait(checkoutId, { signal: gone.signal }).then((final) => {
      if (final !== undefined && stream.writable) stream.end(frame(final));
    });
  }

  return {
    get size() {
      return open.size;
    },
    open(caller, checkout) {
      if ((ofCaller.get(caller) ?? 0) >= streamsPerCallerMax) return 'streams_of_caller';
      if (open.size >= streamsMax) return 'streams';
      const stream = new PassThrough();
      open.add(stream);
      count(caller, 1);
      stream.once('close', () => {
        open.delete(stream);
        count(caller, -1);
      });
      stream.write(`retry: ${reconnectMs}\n\n${frame(checkout)}`);
      if (checkout.status === 'accepted') follow(stream, checkout.checkoutId);
      else stream.end();
      return stream;
    },
    close() {
      for (const stream of open) stream.end();
    },
  };
}

function frame(checkout: Checkout): string {
  const id = checkout.status === 'accepted' ? '1' : lastEventId;
  return `id: ${id}\nevent: status\ndata: ${JSON.stringify(viewOf(checkout))}\n\n`;
}
