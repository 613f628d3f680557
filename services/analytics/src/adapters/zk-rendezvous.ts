/** Where the nodes of the mesh meet when they start, in whatever order. */
import { messageOf } from '@thermomesh/runtime';
import { hasCode, Rendezvous, type ZooKeeper } from '@thermomesh/zookeeper';

export interface MeetingOptions {
  /** Of the node; started and closed by its owner. */
  zk: ZooKeeper;
  /** Where the group keeps everything. */
  path: string;
  nodeId: number;
  url: string;
  /** All nodes, this one among them. */
  nodes: readonly number[];
  /** After this the node goes on without those that are missing. 0: it does not wait. */
  timeoutMs: number;
  onFault: (error: unknown) => void;
}

/** How a meeting ended. */
export type Meeting =
  | { met: true; afterMs: number; urls: Record<string, string> }
  | { met: false; reason: string; missing: number[]; there: number[] };

export interface MeetingPlace {
  /** Does not wait until ZooKeeper can be reached. */
  start(): void;
  /** Returns when all nodes are there, or in time. Undefined if the place is closed meanwhile. */
  meet(): Promise<Meeting | undefined>;
  /** After the client was closed. Idempotent. */
  stop(): Promise<void>;
}

const nameOf = (node: number) => `node-${node}`;

/** The node stays there while it lives: who is started again later finds everybody, and need not wait for those that wait for it. */
export function openMeetingPlace(options: MeetingOptions): MeetingPlace {
  const { zk, path, nodeId, nodes, timeoutMs, onFault } = options;
  // A role for each node: the message of the recipe says who is missing, not only how many.
  const needs = Object.fromEntries(nodes.map((node) => [nameOf(node), 1]));
  const rendezvous = new Rendezvous<{ url: string }>(zk, {
    path: `${path}/rendezvous`,
    self: { id: nameOf(nodeId), role: nameOf(nodeId), document: { url: options.url } },
    parse: parseParty,
    onFailed: onFault,
  });
  const isThere = (node: number) => rendezvous.parties.some(({ role }) => role === nameOf(node));
  let stopped: Promise<void> | undefined;
  return {
    start: () => void rendezvous.start(),
    async meet() {
      if (timeoutMs === 0) return undefined;
      const startedAt = performance.now();
      try {
        const parties = await rendezvous.meet(needs, { timeoutMs });
        const urls = [...parties].map(([role, [party]]) => [role, party?.document.url ?? ''] as const);
        return {
          met: true,
          afterMs: Math.round(performance.now() - startedAt),
          urls: Object.fromEntries(urls),
        };
      } catch (error) {
        if (stopped !== undefined || hasCode(error, 'zookeeper.closed')) return undefined;
        const [there, missing] = [nodes.filter(isThere), nodes.filter((node) => !isThere(node))];
        return { met: false, reason: messageOf(error), missing, there };
      }
    },
    stop: () => (stopped ??= rendezvous.close()),
  };
}

function parseParty(document: unknown): { url: string } {
  const { url } = (document ?? {}) as { url?: unknown };
  if (typeof url !== 'string') throw new TypeError('a party says where it listens');
  return { url };
}
