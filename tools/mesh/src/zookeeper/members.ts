/** The registered members in ZooKeeper: the analytics nodes, and the instances of services. */
import type { ZkMembersDocument } from '@thermomesh/contracts';
import { membersPath, parseMember } from '@thermomesh/zookeeper-election';
import { hasCode, type NodeData, type ZooKeeper } from '@thermomesh/zookeeper';
import { analyticsPath, servicesPath } from '../mesh/files/znodes.ts';
import { showOwner } from './data.ts';

type Row = ZkMembersDocument['members'][number];

const analytics = 'analytics';

/** Reads all members, one by one and so not as a snapshot. */
export async function readMembers(zk: ZooKeeper, mesh: string): Promise<ZkMembersDocument> {
  const services = servicesPath(mesh);
  const groups = [
    { group: analytics, path: membersPath(analyticsPath(mesh)) },
    ...(await childrenOf(zk, services)).map((group) => ({ group, path: `${services}/${group}` })),
  ];
  const rows = groups.map(async ({ group, path }) => {
    const names = await childrenOf(zk, path);
    const nodes = names.map(async (id) => rowOf(group, id, await dataOf(zk, `${path}/${id}`)));
    return (await Promise.all(nodes)).filter((row) => row !== undefined);
  });
  return { members: (await Promise.all(rows)).flat() };
}

/**
 * The row of a member; undefined if it has left since the list was read, or its node is not valid.
 */
export function rowOf(group: string, id: string, node: NodeData | undefined): Row | undefined {
  const session = node === undefined ? null : showOwner(node.stat);
  if (node === undefined || session === null) return undefined;
  const said = saidBy(group, node.data);
  if (said === undefined) return undefined;
  return { group, id, ...said, session, joinedAt: new Date(node.stat.createdAtMs).toISOString() };
}

function saidBy(group: string, data: Buffer): Omit<Row, 'group' | 'id' | 'session' | 'joinedAt'> | undefined {
  try {
    const { content } = JSON.parse(data.toString()) as { content?: unknown };
    if (group === analytics) {
      const { url = null, version = null, flavour = null, fit, leads } = parseMember(content);
      return { address: url, version, flavour, fit, leads };
    }
    const { address, port, metadata = {} } = content as Partial<Instance>;
    if (address === undefined || port === undefined) return undefined;
    // The rest of the metadata is only for the service and its callers.
    const { version = null, flavour = null } = metadata;
    return { address: `${address}:${port}`, version, flavour, fit: null, leads: null };
  } catch {
    // Any client may write there; an unreadable node is not listed.
    return undefined;
  }
}

interface Instance {
  address: string;
  port: number;
  metadata: Record<string, string>;
}

async function childrenOf(zk: ZooKeeper, path: string): Promise<readonly string[]> {
  return (await orGone(zk.getChildren(path)))?.names ?? [];
}

async function dataOf(zk: ZooKeeper, path: string): Promise<NodeData | undefined> {
  return orGone(zk.getData(path));
}

async function orGone<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_node')) return undefined;
    throw error;
  }
}
