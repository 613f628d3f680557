/** Free TCP ports for servers that listen on 127.0.0.1. */
import getPort, { portNumbers } from 'get-port';
import { releasePort, reservePort } from './port-reservations.ts';

/**
 * A TCP port that is free on 127.0.0.1 now. This process does not return it again for some seconds.
 * @param preferred tried first, one after the other
 */
export async function freePort(...preferred: number[]): Promise<number> {
  return getPort({ host: '127.0.0.1', ...(preferred.length === 0 ? {} : { port: preferred }) });
}

/**
 * A free port outside the range that the system gives to outgoing connections, reserved until this
 * process ends: a killed server that must keep its address finds the port still free when it is
 * started again.
 * @param preferred tried first, one after the other
 */
export async function freeLastingPort(...preferred: number[]): Promise<number> {
  for (const port of [...preferred, ...shuffled([...portNumbers(15_000, 29_999)])]) {
    // The reservation comes first: the look for a free port listens on it for a moment, in which
    // the server that it is reserved for could not start.
    if (!reservePort(port, { again: preferred.includes(port) })) continue;
    if ((await getPort({ host: '127.0.0.1', port })) === port) return port;
    releasePort(port);
  }
  return freePort();
}

function shuffled(ports: number[]): number[] {
  // Meshes that start at the same moment must not all try the same port first.
  const start = Math.floor(Math.random() * ports.length);
  return [...ports.slice(start), ...ports.slice(0, start)];
}
