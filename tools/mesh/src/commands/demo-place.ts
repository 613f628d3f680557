/** What the demonstrations on a ZooKeeper share: where they are played, and how they end. */
import type { Command } from 'commander';
import type { MeshConfig } from '../config.ts';
import { openDemoZooKeeper, type DemoZooKeeper } from '../demo/zookeeper.ts';
import { printJson, say, withOutput, type OutputOptions } from './options.ts';

export interface PlaceFlags extends OutputOptions {
  hosts?: string;
}

export const placeHelp = `
It uses the ZooKeeper of the running mesh, or the one that ZOOKEEPER_HOSTS names, else a temporary one that ends with it. What it writes
there is below a node of its own, and removed.`;

/** `--name`, `--json` and `--hosts`. */
export function withHosts(command: Command): Command {
  return withOutput(command).option('--hosts <list>', "a ZooKeeper instead of the mesh's own");
}

/** For people who watch. */
export function progress(line: string): void {
  if (process.stderr.isTTY) say(line);
}

/** Opens a ZooKeeper, shows, prints the document, and leaves nothing behind, Ctrl-C included. */
export async function perform<D extends { ok: boolean }>(
  config: MeshConfig,
  flags: PlaceFlags,
  render: (document: D, colours: boolean) => string,
  demonstrate: (place: DemoZooKeeper, signal: AbortSignal) => Promise<D>,
): Promise<void> {
  const interrupted = new AbortController();
  // A signal during the start is heard when there is something to end.
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
