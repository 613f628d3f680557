/** What the subcommands of `mesh zk` share. */
import { InvalidArgumentError, type Command } from 'commander';
import type { Credentials, ZooKeeper } from '@thermomesh/zookeeper';
import type { MeshConfig } from '../config.ts';
import { needZooKeeper, readCredentials, withZooKeeper } from '../zk/place.ts';
import { say, withOutput, type OutputOptions } from './options.ts';

/** Flags of every subcommand here. */
export interface ZkFlags extends OutputOptions {
  hosts?: string;
  auth?: string;
}
/** `--name`, `--json`, `--hosts` and `--auth`. */
export function withPlace(command: Command): Command {
  return withOutput(command)
    .option('--hosts <list>', "host:port,…[/path] instead of the mesh's own")
    .option('--auth <file>', 'who you are: a file that holds user:password, or "mesh"');
}

/** Calls with a client of the ZooKeeper that the flags mean. */
export async function atZooKeeper<T>(
  config: MeshConfig,
  flags: ZkFlags,
  work: (zk: ZooKeeper, credentials: Credentials | undefined) => Promise<T>,
): Promise<T> {
  const place = needZooKeeper(config, flags);
  const credentials = flags.auth === undefined ? undefined : readCredentials(config, flags.name, flags.auth);
  return withZooKeeper(place, credentials, async (zk) => work(zk, credentials));
}

/** One of these words. */
export function oneOf<T extends string>(words: readonly T[]): (text: string) => T {
  return (text) => {
    const word = words.find((each) => each === text);
    if (word === undefined) throw new InvalidArgumentError(`must be one of ${words.join(', ')}.`);
    return word;
  };
}

/** One JSON document on one line of stdout: of a stream of them. */
export function printJsonLine(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}

/** Aborted by Ctrl-C and SIGTERM: an end in order, exit code 0. */
export function untilInterrupted(): AbortSignal {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());
  return interrupted.signal;
}

/** Who follows something has to know when nothing can be seen. */
export function tellBreaks(zk: ZooKeeper): void {
  let broken = false;
  zk.onPhase((phase) => {
    if (phase === 'suspended' || phase === 'lost') {
      if (!broken) say('the connection to ZooKeeper is broken: nothing is seen until it is back');
      broken = true;
    }
    if (phase === 'connected' && broken) {
      say('connected again');
      broken = false;
    }
  });
}
