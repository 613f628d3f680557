/** The place in ZooKeeper where the nodes meet when they start, in whatever order they start. */
import { messageOf } from '@thermomesh/runtime';
import { hasCode, Rendezvous, type ZooKeeper } from '@thermomesh/zookeeper';
import type { MeetingPlace } from '../core/ports.ts';

export interface MeetingOptions {
  /** The node's client; its owner starts and closes it. */
  zk: ZooKeeper;
  /** The ZooKeeper node below which the group keeps everything. */
  path: string;
  nodeId: number;
  /** Where the other nodes find this one. */
  url: string;
  /** The ids of all nodes, including this one. */
  nodes: readonly number[];
  /** After this time the node continues without the missing ones. 0: it does not wait. */
  timeoutMs: number;
  onFailed: (error: unknown) => void;
}

const nameOf = (node: number) => `node-${node}`;

/**
 * Creates the meeting place; it is not started. A node stays listed while it lives, so a node that
 * is started again later finds all others and does not wait.
 */
export function openMeetingPlace(options: MeetingOptions): MeetingPlace {
  const { zk, path, nodeId, nodes, timeoutMs, onFailed } = options;
  // Each node is a role of its own, so that the recipe's message names the missing nodes.
  const needs = Object.fromEntries(nodes.map((node) => [nameOf(node), 1]));
  const rendezvous = new Rendezvous<{ url: string }>(zk, {
    path: `${path}/rendezvous`,
    self: { id: nameOf(nodeId), role: nameOf(nodeId), document: { url: options.url } },
    parse: parseParty,
    onFailed,
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
  if (typeof url !== 'string') throw new TypeError('the document of a party needs a url');
  return { url };
}
