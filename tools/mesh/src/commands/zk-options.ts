/** What the commands of `mesh zk` share. */
import { InvalidArgumentError, type Command } from 'commander';
import type { Credentials, ZooKeeper } from '@thermomesh/zookeeper';
import type { MeshConfig } from '../config.ts';
import { needZooKeeper, readCredentials, withZooKeeper } from '../zookeeper/place.ts';
import { say, withOutput, type OutputOptions } from './options.ts';

/** Options of every command of `mesh zk`. */
export interface ZkFlags extends OutputOptions {
  hosts?: string;
  auth?: string;
}
/** Adds `--name`, `--json`, `--hosts` and `--auth`. */
export function withPlace(command: Command): Command {
  return withOutput(command)
    .option('--hosts <list>', "host:port,…[/path] of a ZooKeeper to use instead of the mesh's own")
    .option('--auth <file>', 'your credentials: a file with user:password in it, or "mesh"');
}

/** Calls `work` with a client of the ZooKeeper that the options name. */
export async function atZooKeeper<T>(
  config: MeshConfig,
  flags: ZkFlags,
  work: (zk: ZooKeeper, credentials: Credentials | undefined) => Promise<T>,
): Promise<T> {
  const place = needZooKeeper(config, flags);
  const credentials = flags.auth === undefined ? undefined : readCredentials(config, flags.name, flags.auth);
  return withZooKeeper(place, credentials, async (zk) => work(zk, credentials));
}

/**
 * Parses one of `words`.
 * @throws InvalidArgumentError
 */
export function oneOf<T extends string>(words: readonly T[]): (text: string) => T {
  return (text) => {
    const word = words.find((each) => each === text);
    if (word === undefined) throw new InvalidArgumentError(`must be one of ${words.join(', ')}.`);
    return word;
  };
}

/** Prints one JSON document as one line of stdout. */
export function printJsonLine(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}

/** A signal that Ctrl-C and SIGTERM abort: the command then ends with exit code 0. */
export function untilInterrupted(): AbortSignal {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());
  return interrupted.signal;
}

/** Reports on stderr when the connection breaks and when it is back. */
export function reportBreaks(zk: ZooKeeper): void {
  let broken = false;
  zk.onPhase((phase) => {
    if (phase === 'suspended' || phase === 'lost') {
      if (!broken) say('the connection to ZooKeeper is broken: no changes are seen until it is back');
      broken = true;
    }
    if (phase === 'connected' && broken) {
      say('connected again');
      broken = false;
    }
  });
}
