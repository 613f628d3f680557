/** The equalizer as ZooKeeper has it: who coordinates, and under which epoch. */
import { LeaderElection, ZooKeeper } from '@thermomesh/zookeeper';
import { equalizerPath } from '../state/znodes.ts';
import { answerTimeoutMs } from './http.ts';
import type { Mesh } from './mesh.ts';

/** Who waits for something asks again soon, and finds the session still there. */
const idleCloseMs = 300;

interface KeptSession {
  zk: ZooKeeper;
  users: number;
  idle: NodeJS.Timeout | undefined;
}

const sessions = new Map<string, KeptSession>();

/** Null if the mesh has no equalizer, nobody coordinates, or ZooKeeper does not answer in time. */
export async function readEqualizerCoordinator(mesh: Mesh): Promise<{ node: number; epoch: number } | null> {
  const run = mesh.run();
  const hosts = run?.state === 'stopped' ? null : run?.zookeeperHosts;
  if (hosts === null || hosts === undefined) return null;
  if (!(run?.processes ?? []).some(({ role }) => role === 'equalizer')) return null;
  const { promise: late, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), answerTimeoutMs);
  const session = useSession(hosts);
  try {
    return await Promise.race([leaderOf(session.zk, mesh.name), late]);
  } finally {
    clearTimeout(timer);
    leaveSession(hosts, session);
  }
}

async function leaderOf(zk: ZooKeeper, mesh: string): Promise<{ node: number; epoch: number } | null> {
  try {
    await zk.whenConnected();
    const path = `${equalizerPath(mesh)}/coordinator`;
    // Others may have been told of a newer queue already.
    await zk.sync(path);
    const [first] = await new LeaderElection(zk, { path, id: 'onlooker' }).standings();
    const node = Number(/^equalizer-(\d+)$/.exec(first?.id ?? '')?.[1]);
    return first === undefined || Number.isNaN(node) ? null : { node, epoch: Number(first.epoch) };
  } catch {
    // The connection broke: the caller is told what is known, which is nothing.
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
    // It ends by itself if the server cannot be told.
    void session.zk.close();
  }, idleCloseMs);
}
