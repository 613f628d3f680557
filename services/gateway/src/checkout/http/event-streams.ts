/** Server-sent events of checkouts: the status now, then the change, then the end. */
import { PassThrough, type Readable } from 'node:stream';
import { viewOf, type Checkout } from '../core/checkout.ts';
import type { FinalWatch } from '../core/final-watch.ts';

/** Which limit is reached: of all streams, or of those of one caller. */
export type TooMany = 'streams' | 'streams_of_caller';

export interface EventStreams {
  /** @param caller whose stream it is */
  open(caller: string, checkout: Checkout): Readable | TooMany;
  /** Ends all of them: their clients ask again. */
  close(): void;
  readonly size: number;
}

/** Ids of events: a client that has seen the last one need not come back. */
export const lastEventId = '2';
const reconnectMs = 1_000;

export interface EventStreamsOptions {
  watch: FinalWatch;
  streamsMax: number;
  streamsPerCallerMax: number;
  heartbeatMs: number;
}

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
    // A comment now and then keeps proxies from taking the connection for dead, and finds clients that are.
    const heart = setInterval(() => stream.write(': \n\n'), heartbeatMs);
    stream.once('close', () => {
      clearInterval(heart);
      gone.abort();
    });
    void watch.wait(checkoutId, gone.signal).then((final) => {
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
