/** Several servers of one kind, each of which can be killed, frozen and started again. */
import type { RunningServer } from './launch.ts';

/** One of several servers: stays the same over its restarts. */
export interface Member<S extends RunningServer> {
  readonly id: number;
  /** `127.0.0.1:port`: the same after each restart. */
  readonly host: string;
  /** The process that runs now, or ran last. */
  readonly server: S;
  /** kill -9. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Starts it again on the same data and ports; one that still runs is stopped first. */
  restart(): Promise<S>;
  stop(): Promise<void>;
}

/** @param again starts the server on its old data and ports */
export function memberOf<S extends RunningServer>(id: number, first: S, again: () => Promise<S>): Member<S> {
  let server = first;
  return {
    id,
    host: `127.0.0.1:${first.port}`,
    get server() {
      return server;
    },
    kill: async () => server.kill(),
    pause: async () => server.pause(),
    resume: async () => server.resume(),
    async restart() {
      await server.stop();
      server = await again();
      return server;
    },
    stop: async () => server.stop(),
  };
}

/** Waits for all of `work`; if one fails, `undo` is done for those that succeeded, and its error is thrown. */
export async function allOrNone<T>(work: Promise<T>[], undo: (done: T) => Promise<void>): Promise<T[]> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  const done = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  if (failed === undefined) return done;
  await Promise.all(done.map(undo));
  throw failed.reason;
}
