/** One server that several users in this process share. */

/** A user's hold on the shared server. */
export interface SharedUse<Server> {
  server: Server;
  /** Ends this use; the last one stops the server. Idempotent. */
  release: () => Promise<void>;
}

/**
 * Returns a function that acquires the shared server: the first user starts it, and it is stopped
 * when the last user releases it. Later users start a new one.
 */
export function sharedServer<Server>(
  start: () => Promise<Server>,
  stop: (server: Server) => Promise<void>,
): () => Promise<SharedUse<Server>> {
  let shared: Promise<Server> | undefined;
  let users = 0;
  return async () => {
    users += 1;
    const starting = (shared ??= start());
    let released = false;
    const release = async () => {
      if (released) return;
      released = true;
      users -= 1;
      if (users > 0) return;
      shared = undefined;
      await stop(await starting);
    };
    const server = await starting.catch((error: unknown) => {
      users -= 1;
      if (shared === starting) shared = undefined;
      throw error;
    });
    return { server, release };
  };
}
