/** What tests look at from outside: as it is now, whichever server is asked, and asked again if the connection breaks. */
import assert from 'node:assert/strict';
import {
  findRunningZooKeeper,
  type Member,
  type TestEnsemble,
  type ZooKeeperServer,
} from '@thermomesh/servers';
import type { Stat } from '../client/types.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { until } from './until.ts';

const timeoutMs = 30_000;

export async function namesIn(zk: ZooKeeper, path: string): Promise<string[]> {
  const read = async () => (await Promise.all([zk.sync(path), zk.getChildren(path)]))[1].names;
  return zk.retry(read, { timeoutMs });
}

export async function statOf(zk: ZooKeeper, path: string): Promise<Stat | undefined> {
  const read = async () => (await Promise.all([zk.sync(path), zk.exists(path)]))[1];
  return zk.retry(read, { timeoutMs });
}

/** The paths of all ephemeral nodes below `path`, itself among them, that `owner` owns. */
export async function ephemeralsOf(zk: ZooKeeper, path: string, owner: bigint): Promise<string[]> {
  const stat = await statOf(zk, path);
  if (stat === undefined) return [];
  const names = await namesIn(zk, path).catch(() => []);
  const below = await Promise.all(
    names.map(async (name) => ephemeralsOf(zk, path === '/' ? `/${name}` : `${path}/${name}`, owner)),
  );
  return [...(stat.ephemeralOwner === owner ? [path] : []), ...below.flat()];
}

/** Who leads; waited for, since a server that stalls says nothing. */
export async function leaderOf(ensemble: TestEnsemble): Promise<Member<ZooKeeperServer>> {
  let found: Member<ZooKeeperServer> | undefined;
  await until(async () => (found = await ensemble.leader()) !== undefined, 'somebody to lead');
  return found ?? assert.fail();
}

/** Starts what a test that failed has left dead or frozen, so that the next one fails for reasons of its own only. */
export async function revive(ensemble: TestEnsemble): Promise<void> {
  for (const member of ensemble.members) {
    await member.resume();
    if ((await findRunningZooKeeper(member.server.dataDir)) === undefined) await member.restart();
  }
  await ensemble.untilServing();
}
