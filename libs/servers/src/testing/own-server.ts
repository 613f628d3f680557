/** Servers that only one test uses. */

/** A server that only one test uses and may kill and start again. */
export interface OwnServer<Server, Options> {
  /** The server that runs now, or that ran last. */
  server: Server;
  /** Starts the server again on the same data and, by default, the same port. */
  restart(options?: Partial<Options>): Promise<Server>;
  /** Stops the server and removes its data. */
  remove(): Promise<void>;
}

/**
 * Starts a server.
 * @param start starts it on the test's folder, at first and again
 * @param removeFiles removes its data after the stop
 */
export async function startOwnServer<
  Server extends { port: number; stop(): Promise<void> },
  Options extends { port?: number },
>(
  start: (options: Partial<Options> | { port: number }) => Promise<Server>,
  removeFiles: (server: Server) => Promise<void>,
): Promise<OwnServer<Server, Options>> {
  const own: OwnServer<Server, Options> = {
    server: await start({}),
    async restart(more = {}) {
      own.server = await start({ port: own.server.port, ...more });
      return own.server;
    },
    async remove() {
      await own.server.stop();
      await removeFiles(own.server);
    },
  };
  return own;
}
