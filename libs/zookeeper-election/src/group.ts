/**
 * The group of an election without its queue: for nodes that another strategy elects, and for
 * observers.
 */
import type { MemberStatus } from '@thermomesh/election';
import { hasCode, isRetriable, ZooKeeper } from '@thermomesh/zookeeper';
import { createZooKeeperLeaderSource, type LeaderSourceOptions } from './leader-source.ts';
import { membersPath, parseMember, type ElectionMember } from './members.ts';

export interface GroupEvents {
  onReachable(reachable: boolean, reason: string): void;
  onFault(error: unknown): void;
}

/** A node that is listed in the group and never joins the queue. */
export interface GroupSeat {
  /** Lists the node. Does not wait until ZooKeeper can be reached. */
  start(): Promise<void>;
  publish(status: MemberStatus): void;
  /** Ends the listing in bounded time. Idempotent. */
  stop(): Promise<void>;
}

/** Longer than the default, because no work depends on the listing. */
const redialDelayDefaultMs = 2_000;

/**
 * Lists this node among the members. Nothing depends on it: without ZooKeeper the node works just
 * the same.
 */
export function joinElectionGroup(options: LeaderSourceOptions & GroupEvents): GroupSeat {
  const source = createZooKeeperLeaderSource({ redialDelayMsMax: redialDelayDefaultMs, ...options });
  return {
    start: () =>
      source.start({
        onReachable: (reachable, reason) => options.onReachable(reachable, reason),
        onError: (error) => options.onFault(error),
        onFirst: () => undefined,
        onGroup: () => undefined,
        onReleased: () => undefined,
      }),
    publish: (status) => {
      source.publish(status);
    },
    stop: () => source.stop(),
  };
}

/** A member as observers see it. */
export type ListedMember = ElectionMember & { nodeId: number };

export interface ReadGroupOptions {
  hosts: string;
  path: string;
  /** Time limit of the whole call. */
  timeoutMs: number;
}

/**
 * Reads the members of the group, sorted by node; undefined if ZooKeeper does not answer in time.
 */
export async function readElectionGroup(options: ReadGroupOptions): Promise<ListedMember[] | undefined> {
  const { hosts, path, timeoutMs } = options;
  const zk = new ZooKeeper({ hosts, limits: { closeTimeoutMs: timeoutMs } });
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), timeoutMs);
  try {
    zk.start();
    return await Promise.race([readMembers(zk, membersPath(path)), late.promise]);
  } finally {
    clearTimeout(timer);
    // If the server cannot be reached, the session expires by itself.
    void zk.close();
  }
}

async function readMembers(zk: ZooKeeper, path: string): Promise<ListedMember[] | undefined> {
  try {
    await zk.whenConnected();
    // Other observers may have seen a newer list already.
    await zk.sync(path);
    const { names } = await zk.getChildren(path);
    const members = await Promise.all(names.map((name) => readMember(zk, path, name)));
    return members.filter((member) => member !== undefined).sort((one, other) => one.nodeId - other.nodeId);
  } catch (error) {
    // No node has ever joined, or the connection broke and nothing is known.
    return hasCode(error, 'zookeeper.no_node') ? [] : undefined;
  }
}

async function readMember(zk: ZooKeeper, path: string, name: string): Promise<ListedMember | undefined> {
  try {
    const { data } = await zk.getData(`${path}/${name}`);
    const document = JSON.parse(data.toString()) as { content?: unknown };
    return { ...parseMember(document.content), nodeId: Number(name) };
  } catch (error) {
    if (isRetriable(error)) throw error;
    // The node has left since the list was read, or it is not a member.
    return undefined;
  }
}
