/** Ports of this machine for servers that listen on 127.0.0.1. */
import getPort, { portNumbers } from 'get-port';

/**
 * A TCP port that is free on 127.0.0.1 now and that this process hands out to nobody else for some seconds.
 * @param preferred tried first, in order
 */
export async function freePort(...preferred: number[]): Promise<number> {
  return getPort({ host: '127.0.0.1', ...(preferred.length === 0 ? {} : { port: preferred }) });
}

/**
 * A free port outside the range that the system gives to outgoing connections, so that it is still free when a killed process
 * that has to keep its address comes back.
 */
export async function freeLastingPort(...preferred: number[]): Promise<number> {
  return getPort({ host: '127.0.0.1', port: [...preferred, ...shuffled([...portNumbers(15_000, 29_999)])] });
}

function shuffled(ports: number[]): number[] {
  // Meshes that start at the same moment should not all try the same port first.
  const start = Math.floor(Math.random() * ports.length);
  return [...ports.slice(start), ...ports.slice(0, start)];
}
