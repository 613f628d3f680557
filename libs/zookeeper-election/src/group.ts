/** The group of an election without its queue: for nodes that another strategy elects, and for onlookers. */
import type { GroupWord } from '@thermomesh/election';
import { hasCode, isRetriable, ZooKeeper } from '@thermomesh/zookeeper';
import { createZooKeeperLeaderSource, type LeaderSourceOptions } from './leader-source.ts';
import { membersPath, parseMember, type ElectionMember } from './members.ts';

export interface GroupEvents {
  onReachable(reachable: boolean, reason: string): void;
  onFault(error: unknown): void;
}

/** A node that is listed and never stands. */
export interface GroupSeat {
  /** Does not wait until ZooKeeper can be reached. */
  start(): Promise<void>;
  say(word: GroupWord): void;
  /** In bounded time. Idempotent. */
  stop(): Promise<void>;
}

/** Nobody waits for a listing. */
const redialDelayDefaultMs = 2_000;

/** Lists this node among the members. Nothing depends on it: without ZooKeeper the node does its work all the same. */
export function joinElectionGroup(options: LeaderSourceOptions & GroupEvents): GroupSeat {
  const source = createZooKeeperLeaderSource({ redialDelayMsMax: redialDelayDefaultMs, ...options });
  return {
    start: () =>
      source.start({
        onReachable: (reachable, reason) => options.onReachable(reachable, reason),
        onFault: (error) => options.onFault(error),
        onFirst: () => undefined,
        onGroup: () => undefined,
        onGivenBack: () => undefined,
      }),
    say: (word) => {
      source.say(word);
    },
    stop: () => source.stop(),
  };
}

/** A member as onlookers see it. */
export type ListedMember = ElectionMember & { nodeId: number };

export interface ReadGroupOptions {
  hosts: string;
  path: string;
  /** For all of it. */
  timeoutMs: number;
}

/** Who is in the group now, by node; undefined if ZooKeeper does not answer in time. */
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
    // Its session goes by itself if the server cannot be told.
    void zk.close();
  }
}

async function readMembers(zk: ZooKeeper, path: string): Promise<ListedMember[] | undefined> {
  try {
    await zk.whenConnected();
    // Others may have been told of a newer list already.
    await zk.sync(path);
    const { names } = await zk.getChildren(path);
    const members = await Promise.all(names.map((name) => readMember(zk, path, name)));
    return members.filter((member) => member !== undefined).sort((one, other) => one.nodeId - other.nodeId);
  } catch (error) {
    // Nobody has ever joined, or the connection broke: the caller is told what is known, which is nothing.
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
    // It has left since the list was read, or is no member.
    return undefined;
  }
}
