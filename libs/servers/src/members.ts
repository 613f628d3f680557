/** Members of a cluster: each can be killed, frozen and started again. */
import type { RunningServer } from './launch.ts';

/** One member; the handle stays the same over restarts of its server. */
export interface Member<S extends RunningServer> {
  readonly id: number;
  /** `127.0.0.1:port`, the same after each restart. */
  readonly host: string;
  /** The process that runs now, or that ran last. */
  readonly server: S;
  /** Sends SIGKILL. */
  kill(): Promise<void>;
  /** Sends SIGSTOP: connections stay open, and nothing answers. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Starts the server again on the same data and ports; stops it first if it still runs. */
  restart(): Promise<S>;
  stop(): Promise<void>;
}

/**
 * Makes the handle of a member.
 * @param startAgain starts the server on its old data and ports
 */
export function memberOf<S extends RunningServer>(
  id: number,
  first: S,
  startAgain: () => Promise<S>,
): Member<S> {
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
      server = await startAgain();
      return server;
    },
    stop: async () => server.stop(),
  };
}

/**
 * Waits for all of `work`. If one fails, calls `undo` for the results of the others and throws the
 * error.
 */
export async function allOrNone<T>(work: Promise<T>[], undo: (done: T) => Promise<void>): Promise<T[]> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  const done = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  if (failed === undefined) return done;
  await Promise.all(done.map(undo));
  throw failed.reason;
}
