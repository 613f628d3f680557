/** Ends a connection at once, with a reset. */
import type { Socket } from 'node:net';

/**
 * Resets the connection. A socket that still dials is destroyed instead: Node would first wait for
 * the connection, without limit if the target does not answer.
 */
export function reset(socket: Socket): void {
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}
