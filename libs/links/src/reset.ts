/** Ends a connection with a reset, at once. */
import type { Socket } from 'node:net';

/** A socket that still dials has nobody to reset; Node would wait for the connection first, for ever if nobody answers. */
export function reset(socket: Socket): void {
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}
