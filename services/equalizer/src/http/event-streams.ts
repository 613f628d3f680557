/**
 * A job as server-sent events: its present state, then each later one (a slow client gets the
 * latest and misses those between), then the end.
 */
import { once } from 'node:events';
import { PassThrough, type Readable } from 'node:stream';
import { codeOf, type Log, createSlots, type SlotLimit } from '@thermomesh/runtime';
import type { JobView } from '../core/jobs.ts';
import type { Jobs } from '../core/ports.ts';
import type { HttpLimits } from './limits.ts';
import { imageJobOf } from './view.ts';

export interface EventStreams {
  /**
   * Opens a stream of one job, or returns the limit that is reached.
   * @param seen version of the last view that the client has seen: nothing up to it is sent again
   */
  open(caller: string, id: string, seen: string): Readable | SlotLimit;
  /** Ends all streams; their clients reconnect to another node. */
  close(): void;
  readonly size: number;
}

export interface EventStreamsOptions {
  jobs: Pick<Jobs, 'follow'>;
  limits: Pick<HttpLimits, 'streamsMax' | 'streamsPerCallerMax' | 'heartbeatMs' | 'stallTimeoutMs'>;
  log: Log;
}

const reconnectMs = 1_000;

export function createEventStreams({ jobs, limits, log }: EventStreamsOptions): EventStreams {
  const slots = createSlots(limits.streamsMax, limits.streamsPerCallerMax);
  const open = new Set<AbortController>();

  /** Writes views until the job is over or the client has disconnected. */
  async function send(stream: PassThrough, id: string, seen: string, gone: AbortController): Promise<void> {
    for await (const view of jobs.follow(id, gone.signal)) {
      // A node that lags behind may show older views, too.
      if (view.version <= seen) continue;
      seen = view.version;
      if (!stream.write(frame(view))) await drained(stream, gone.signal, limits.stallTimeoutMs);
    }
  }

  return {
    get size() {
      return slots.size;
    },
    open(caller, id, seen) {
      const release = slots.take(caller);
      if (typeof release === 'string') return release;
      const gone = new AbortController();
      open.add(gone);
      // Almost no buffer: a view that waits in one is out of date when it arrives.
      const stream = new PassThrough({ highWaterMark: 1 });
      // Comments keep proxies from closing the connection as idle, and detect clients that have
      // gone.
      const heart = setInterval(() => {
        if (!stream.writableNeedDrain) stream.write(': \n\n');
      }, limits.heartbeatMs);
      stream.once('close', () => gone.abort());
      gone.signal.addEventListener('abort', () => {
        open.delete(gone);
        clearInterval(heart);
        release();
      });
      stream.write(`retry: ${reconnectMs}\n\n`);
      void send(stream, id, seen, gone)
        .catch((error: unknown) => {
          if (!gone.signal.aborted)
            log.warn({ event: 'events.broken_off', jobId: id, code: codeOf(error), err: error });
        })
        .finally(() => stream.end());
      return stream;
    },
    close() {
      for (const gone of [...open]) gone.abort();
    },
  };
}

/** Waits until the client has read what was written. @throws on a timeout, or if it has gone */
async function drained(stream: PassThrough, gone: AbortSignal, timeoutMs: number): Promise<void> {
  const late = AbortSignal.timeout(timeoutMs);
  try {
    await once(stream, 'drain', { signal: AbortSignal.any([gone, late]) });
  } catch (error) {
    if (late.aborted) stream.destroy();
    throw error;
  }
}

function frame(view: JobView): string {
  return `id: ${view.version}\ndata: ${JSON.stringify(imageJobOf(view))}\n\n`;
}
