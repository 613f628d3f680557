/** What the demonstrations on ZooKeeper share: their server, and how they end. */
import type { Command } from 'commander';
import type { MeshConfig } from '../config.ts';
import { openDemoZooKeeper, type DemoZooKeeper } from '../demos/zookeeper.ts';
import { printJson, say, withOutput, type OutputOptions } from './options.ts';

export interface PlaceFlags extends OutputOptions {
  hosts?: string;
}

export const placeHelp = `
The demonstration uses the ZooKeeper of the running mesh, or the one that ZOOKEEPER_HOSTS names, or
else a temporary one. It writes below a node of its own, which it removes at the end.`;

/** Adds `--name`, `--json` and `--hosts`. */
export function withHosts(command: Command): Command {
  return withOutput(command).option('--hosts <list>', "a ZooKeeper to use instead of the mesh's own");
}

/** Prints progress if stderr is a terminal. */
export function progress(line: string): void {
  if (process.stderr.isTTY) say(line);
}

/**
 * Opens a ZooKeeper, runs the demonstration, prints its document, and removes everything, on Ctrl-C
 * too.
 */
export async function perform<D extends { ok: boolean }>(
  config: MeshConfig,
  flags: PlaceFlags,
  render: (document: D, colours: boolean) => string,
  demonstrate: (place: DemoZooKeeper, signal: AbortSignal) => Promise<D>,
): Promise<void> {
  const interrupted = new AbortController();
  // A signal during the start is handled once there is something to stop.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
  const { signal } = interrupted;
  const place = await openDemoZooKeeper(config, flags);
  try {
    signal.throwIfAborted();
    say(`ZooKeeper: ${place.origin}`);
    const document = await demonstrate(place, signal);
    if (flags.json === true) printJson(document);
    else console.log(render(document, process.stdout.isTTY));
    if (!document.ok) process.exitCode = 1;
  } catch (error) {
    if (!signal.aborted) throw error;
    process.exitCode = 1;
  } finally {
    await place.close();
  }
}
