/** The coordinator of the equalizer and its epoch, read from ZooKeeper. */
import { raceTimeout } from '@thermomesh/runtime';
import { LeaderElection, ZooKeeper } from '@thermomesh/zookeeper';
import { equalizerPath } from './files/znodes.ts';
import { answerTimeoutMs } from './http.ts';
import type { Mesh } from './mesh.ts';

/** A session stays open for this time, because waiting callers ask again soon. */
const idleCloseMs = 300;

interface KeptSession {
  zk: ZooKeeper;
  users: number;
  idle: NodeJS.Timeout | undefined;
}

const sessions = new Map<string, KeptSession>();

/** Null if the mesh has no equalizer, no node coordinates, or ZooKeeper does not answer in time. */
export async function readEqualizerCoordinator(mesh: Mesh): Promise<{ node: number; epoch: number } | null> {
  const run = mesh.run();
  const hosts = run?.state === 'stopped' ? null : run?.zookeeperHosts;
  if (hosts === null || hosts === undefined) return null;
  if (!(run?.processes ?? []).some(({ role }) => role === 'equalizer')) return null;
  const session = useSession(hosts);
  try {
    const late = () => new Error('ZooKeeper does not answer in time');
    return await raceTimeout(leaderOf(session.zk, mesh.name), answerTimeoutMs, late).catch(() => null);
  } finally {
    leaveSession(hosts, session);
  }
}

async function leaderOf(zk: ZooKeeper, mesh: string): Promise<{ node: number; epoch: number } | null> {
  try {
    await zk.whenConnected();
    const path = `${equalizerPath(mesh)}/coordinator`;
    // Another server may already have a newer queue.
    await zk.sync(path);
    const [first] = await new LeaderElection(zk, { path, id: 'onlooker' }).candidates();
    const node = Number(/^equalizer-(\d+)$/.exec(first?.id ?? '')?.[1]);
    return first === undefined || Number.isNaN(node) ? null : { node, epoch: Number(first.epoch) };
  } catch {
    // The connection broke, so the coordinator is unknown.
    return null;
  }
}

function useSession(hosts: string): KeptSession {
  let session = sessions.get(hosts);
  if (session === undefined) {
    session = {
      zk: new ZooKeeper({ hosts, limits: { closeTimeoutMs: answerTimeoutMs } }),
      users: 0,
      idle: undefined,
    };
    session.zk.start();
    sessions.set(hosts, session);
  }
  clearTimeout(session.idle);
  session.users += 1;
  return session;
}

function leaveSession(hosts: string, session: KeptSession): void {
  session.users -= 1;
  if (session.users > 0) return;
  session.idle = setTimeout(() => {
    sessions.delete(hosts);
    // The session expires by itself if this cannot reach the server.
    void session.zk.close();
  }, idleCloseMs);
}
