/** ZooKeeper nodes and Kafka's metadata as readable text. */
import { styleText } from 'node:util';
import type {
  ZkEventDocument,
  ZkKafkaDocument,
  ZkMembersDocument,
  ZkNodeDocument,
  ZkStatDocument,
  ZkTreeDocument,
} from '@thermomesh/contracts';
import { nameOf, parentOf } from '@thermomesh/zookeeper';
import type { ShownData } from '../../zookeeper/data.ts';
import { show, table } from './table.ts';

/** Renders the data alone, so that a script can use it. */
export function renderData({ format, data }: ShownData): string {
  return format === 'json' ? JSON.stringify(data, undefined, 2) : String(data);
}

/** Renders the line about a node's data that goes to stderr. */
export function renderVersion({ path, stat, format }: ZkNodeDocument): string {
  return `${path}: version ${stat.version}, ${stat.dataBytes} B (${format}), changed ${stat.modifiedAt}`;
}

export function renderStat({ path, stat, acl }: ZkStatDocument): string {
  const entries =
    acl === null
      ? ['you have no permission to read it']
      : acl.map(({ scheme, id, permissions }) => `${permissions.join(' ')} for ${scheme}:${id}`);
  return [
    path,
    `version   ${stat.version} of the data, ${stat.childrenVersion} of the children, ${stat.aclVersion} of the ACL`,
    `data      ${stat.dataBytes} B, changed ${stat.modifiedAt} by transaction ${stat.mzxid}`,
    `created   ${stat.createdAt} by transaction ${stat.czxid}`,
    `children  ${stat.children}, last changed by transaction ${stat.pzxid}`,
    `owner     ${stat.ephemeralOwner === null ? 'none: the node is persistent' : `session ${stat.ephemeralOwner}: the node is deleted with it`}`,
    ...entries.map((entry, index) => `${index === 0 ? 'ACL       ' : '          '}${entry}`),
  ].join('\n');
}

/** Renders the table of registered members. */
export function renderMembers({ members }: ZkMembersDocument, colours: boolean): string {
  const rows = members.map(({ group, id, address, version, flavour, fit, leads, joinedAt }) => [
    ...[group, id, show(address), show(version), show(flavour)],
    ...[fit === null ? '' : fit ? 'fit' : 'unfit', leads === null ? '' : `epoch ${leads}`, joinedAt],
  ]);
  const head = ['group', 'id', 'address', 'version', 'flavour', 'state', 'leads', 'since'];
  return rows.length === 0 ? 'no member is registered' : table(head, rows, colours);
}

/** Renders a tree with branches. */
export function renderTree({ path, nodes, complete }: ZkTreeDocument): string {
  const below = Map.groupBy(nodes.slice(1), (node) => parentOf(node.path));
  const lines: string[] = [];
  const stack: { node: ZkTreeDocument['nodes'][number]; lead: string; branch: string; under: string }[] = [];
  const [top] = nodes;
  if (top !== undefined) stack.push({ node: top, lead: '', branch: '', under: '' });
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node, lead, branch, under } = next;
    lines.push(`${lead}${branch}${describeNode(node, node === top ? path : nameOf(node.path))}`);
    const children = below.get(node.path) ?? [];
    const inner = lead + under;
    for (const [index, child] of [...children.entries()].reverse()) {
      const last = index === children.length - 1;
      stack.push({ node: child, lead: inner, branch: last ? '└─ ' : '├─ ', under: last ? '   ' : '│  ' });
    }
  }
  if (!complete) lines.push('… and more: --depth and --limit show it');
  return lines.join('\n');
}

function describeNode(node: ZkTreeDocument['nodes'][number], name: string): string {
  if (node.children === null) return `${name}  (no permission to read)`;
  const owner = node.ephemeralOwner === null ? '' : `  session ${node.ephemeralOwner}`;
  return `${name}  v${node.version} ${node.dataBytes} B${owner}`;
}

/** Renders one line for an event. */
export function renderEvent(event: ZkEventDocument): string {
  const at = event.at.slice(11, 23);
  if (event.version === null || event.format === null) return `${at} ${event.event}`;
  const children = event.children?.length === 0 ? 'no children' : `children ${event.children?.join(' ')}`;
  const data = renderData({ format: event.format, data: event.data }).replaceAll('\n', ' ');
  return `${at} ${event.event}  version ${event.version}  ${data === '' ? 'no data' : data}  ${children}`;
}

/** Renders Kafka's metadata and highlights the last changes. */
export function renderKafka(document: ZkKafkaDocument, colours: boolean): string {
  // A change of "controller epoch" is not a change of "controller".
  const changed = (subject: string) =>
    document.changes.some(
      (change) => change.startsWith(`${subject} `) && !change.startsWith(`${subject} epoch `),
    );
  const mark = (subject: string, text: string | number | null) => {
    const shown = show(text);
    if (!changed(subject)) return shown;
    return colours ? styleText(['bold', 'yellow'], `${shown} *`, { validateStream: false }) : `${shown} *`;
  };
  const brokers = document.brokers.map(({ id, address, session, epoch }) => [
    mark(`broker ${id}`, id),
    show(address),
    session,
    epoch,
  ]);
  const partitions = document.topics.flatMap((topic) =>
    topic.partitions.map((partition) => {
      const name = `${topic.name}/${partition.partition}`;
      const dead = partition.leader !== null && !partition.leaderAlive ? ' (gone)' : '';
      return [
        mark(`${name} is`, name),
        mark(`${name} leader`, `${show(partition.leader)}${dead}`),
        mark(`${name} leader epoch`, partition.leaderEpoch),
        mark(`${name} in sync`, partition.inSync.join(' ')),
        mark(`${name} replicas`, partition.replicas.join(' ')),
        partition.underReplicated ? 'under-replicated' : '',
      ];
    }),
  );
  const controller = mark('controller', document.controller);
  const epoch = mark('controller epoch', document.controllerEpoch);
  return [
    `cluster ${show(document.clusterId)}: controller ${controller}, epoch ${epoch}`,
    table(['broker', 'address', 'session', 'registered by'], brokers, colours),
    table(['partition', 'leader', 'leader epoch', 'in sync', 'replicas', ''], partitions, colours),
  ].join('\n');
}
