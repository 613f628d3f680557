/**
 * Reads the current state from outside, on any server, and repeats the read if the connection
 * breaks.
 */
import assert from 'node:assert/strict';
import {
  findRunningZooKeeper,
  type Member,
  type TestEnsemble,
  type ZooKeeperServer,
} from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import type { Stat } from '../client/types.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';

const timeoutMs = 30_000;

export async function namesIn(zk: ZooKeeper, path: string): Promise<string[]> {
  const read = async () => (await Promise.all([zk.sync(path), zk.getChildren(path)]))[1].names;
  return zk.retry(read, { timeoutMs });
}

export async function statOf(zk: ZooKeeper, path: string): Promise<Stat | undefined> {
  const read = async () => (await Promise.all([zk.sync(path), zk.exists(path)]))[1];
  return zk.retry(read, { timeoutMs });
}

/** The paths of all ephemeral nodes at and below `path` that `owner` owns. */
export async function ephemeralsOf(zk: ZooKeeper, path: string, owner: bigint): Promise<string[]> {
  const stat = await statOf(zk, path);
  if (stat === undefined) return [];
  const names = await namesIn(zk, path).catch(() => []);
  const below = await Promise.all(
    names.map(async (name) => ephemeralsOf(zk, path === '/' ? `/${name}` : `${path}/${name}`, owner)),
  );
  return [...(stat.ephemeralOwner === owner ? [path] : []), ...below.flat()];
}

/** Waits for the leading server, because a stalled server does not answer. */
export async function leaderOf(ensemble: TestEnsemble): Promise<Member<ZooKeeperServer>> {
  let found: Member<ZooKeeperServer> | undefined;
  await until('a leading server', async () => (found = await ensemble.leader()) !== undefined);
  return found ?? assert.fail();
}

/**
 * Restarts the servers that a failed test left dead or frozen, so that the next test fails only for
 * its own reasons.
 */
export async function revive(ensemble: TestEnsemble): Promise<void> {
  for (const member of ensemble.members) {
    await member.resume();
    if ((await findRunningZooKeeper(member.server.dataDir)) === undefined) await member.restart();
  }
  await ensemble.untilServing();
}
