/** Server-sent events of checkouts: the status now, then the change, then the end. */
import { PassThrough, type Readable } from 'node:stream';
import { viewOf, type Checkout } from '../core/checkout.ts';
import type { FinalWatch } from '../core/final-watch.ts';

export interface EventStreams {
  /** Undefined if there are too many already. */
  open(checkout: Checkout): Readable | undefined;
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
  heartbeatMs: number;
}

export function createEventStreams({ watch, streamsMax, heartbeatMs }: EventStreamsOptions): EventStreams {
  const open = new Set<PassThrough>();

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
    open(checkout) {
      if (open.size >= streamsMax) return undefined;
      const stream = new PassThrough();
      open.add(stream);
      stream.once('close', () => open.delete(stream));
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
