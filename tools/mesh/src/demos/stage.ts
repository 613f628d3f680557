/**
 * The place of a demonstration with processes: a node in ZooKeeper, a record on disk, and the
 * processes. All of it is removed afterwards.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Barrier, type ZooKeeper } from '@thermomesh/zookeeper';
import type { Player } from './player.ts';
import { connectTo, type DemoZooKeeper } from './zookeeper.ts';

export interface RecipeOptions {
  signal: AbortSignal;
  onProgress: (line: string) => void;
}

export interface Stage {
  zk: ZooKeeper;
  hosts: string;
  /** Path of this demonstration's node. */
  path: string;
  recordFile: string;
  onProgress: (line: string) => void;
  /** Adds processes that end with the demonstration, even if it fails. */
  cast(players: Promise<Player[]>): Promise<Player[]>;
  /** Lifts the barrier at `path`. */
  lift(): Promise<void>;
}

const sessionTimeoutMs = 10_000;

/**
 * Calls `play` with a new stage.
 * @throws the error of `play`, or the signal's reason
 */
export async function withStage<T>(
  { hosts, root }: DemoZooKeeper,
  { signal, onProgress }: RecipeOptions,
  name: string,
  play: (stage: Stage) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-demo-'));
  const recordFile = path.join(folder, 'record.ndjson');
  writeFileSync(recordFile, '');
  const zk = await connectTo(hosts, sessionTimeoutMs);
  const players: Player[] = [];
  const interrupted = Promise.withResolvers<never>();
  const interrupt = () => interrupted.reject(signal.reason);
  signal.addEventListener('abort', interrupt, { once: true });
  interrupted.promise.catch(() => undefined);
  const stage: Stage = {
    zk,
    hosts,
    recordFile,
    onProgress,
    path: `${root}/${name}`,
    async cast(starting) {
      const those = await starting;
      players.push(...those);
      return those;
    },
    async lift() {
      const barrier = new Barrier(zk, this.path).start();
      await barrier.lift();
      await barrier.close();
    },
  };
  try {
    await zk.ensurePath(root);
    signal.throwIfAborted();
    return await Promise.race([play(stage), interrupted.promise]);
  } finally {
    signal.removeEventListener('abort', interrupt);
    await Promise.all(players.map(async (player) => player.dismiss()));
    await zk.close();
    await rm(folder, { recursive: true, force: true });
  }
}
