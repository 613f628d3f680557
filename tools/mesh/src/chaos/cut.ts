/** Which links a cut is about, and what is wrong with them. Pure. */
import { passing, type LinkCondition, type LinkConditions } from '@thermomesh/links';
import { MeshError } from '@thermomesh/runtime';
import { gatewayLink, nodeLink, postgresLink, zooKeeperLink } from '../links/names.ts';

/** Links of one node, of whoever coordinates, or of every node. */
export interface LinkSelector {
  who: number | 'coordinator' | 'every';
  /** All its links to other nodes, the one to the gateway, to PostgreSQL, to all servers of ZooKeeper or one of them, or to one node. */
  to: number | (typeof ends)[number] | `zookeeper-${number}`;
}

const ends = ['nodes', 'gateway', 'postgres', 'zookeeper'] as const;

/** What a mesh has that links lead to. */
export interface LinkEnds {
  nodes: number;
  /** Servers of ZooKeeper; 0 if the mesh has none. */
  zookeepers: number;
  /** Its nodes elect with ZooKeeper: who does not reach that cannot drain. */
  needsZooKeeper: boolean;
}

export interface CutBlow {
  kind: 'links';
  /** Node ids by side: links between sides are cut; a node that no side names keeps all of its own. */
  partition: number[][];
  cut: LinkSelector[];
  /** These pass, but late or narrow. */
  slow: LinkSelector[];
  /** Nothing arrives and nobody is told, instead of resets and refusals. */
  silent: boolean;
  /** Only one way, in silence: `out` loses what the side named first sends, `in` what it would receive. */
  oneWay?: 'out' | 'in' | undefined;
  delayMs: number;
  bytesPerSecond: number | null;
  /** From the cut to the heal. */
  pauseMs: number;
}

/** `1,2/3,4,5`. @throws MeshError `usage` */
export function parsePartition(text: string): number[][] {
  const sides = text.split('/').map((side) => side.split(',').map(Number));
  const ids = sides.flat();
  const sound =
    /^[1-9](,[1-9])*(\/[1-9](,[1-9])*)+$/.test(text.replaceAll(' ', '')) && new Set(ids).size === ids.length;
  if (!sound) {
    throw new MeshError('usage', `"${text}" is no partition: node ids by side, each once, such as 1,2/3,4,5`);
  }
  return sides;
}

/** `coordinator:gateway,node-2:zookeeper`. @throws MeshError `usage` */
export function parseSelectors(text: string): LinkSelector[] {
  return text.split(',').map((word) => {
    const match =
      /^(coordinator|every|node-([1-9])):(nodes|gateway|postgres|zookeeper(?:-[1-9])?|node-([1-9]))$/.exec(
        word.trim(),
      ) ?? [];
    const [, who, node, to, other] = match;
    if (who === undefined || to === undefined || (node !== undefined && node === other)) {
      throw new MeshError(
        'usage',
        `"${word}" is no link: <coordinator|every|node-N>:<nodes|gateway|postgres|zookeeper|zookeeper-N|node-N>, such as node-2:gateway`,
      );
    }
    return {
      who: node === undefined ? (who as 'coordinator' | 'every') : Number(node),
      to: other === undefined ? (to as LinkSelector['to']) : Number(other),
    };
  });
}

/** @throws MeshError `usage` if it names nobody, a node or server that is not there, or contradicts itself */
export function checkCut(blow: CutBlow, { nodes, zookeepers }: LinkEnds): void {
  const { partition, cut, slow, delayMs, bytesPerSecond } = blow;
  if (partition.length + cut.length + slow.length === 0)
    throw new MeshError('usage', 'a cut names links: --partition, --cut or --slow');
  const named = [
    ...partition.flat(),
    ...[...cut, ...slow].flatMap(({ who, to }) => [who, to]).filter((id) => typeof id === 'number'),
  ];
  const unknown = named.find((id) => id > nodes);
  if (unknown !== undefined) throw new MeshError('usage', `there is no node ${unknown} in this mesh`);
  for (const { to } of [...cut, ...slow]) {
    const server = serverOf(to);
    if (server !== undefined && server > zookeepers) {
      const what = zookeepers === 0 ? 'no ZooKeeper' : `no server ${String(to)}`;
      throw new MeshError('usage', `this mesh runs ${what}: it has ${zookeepers} of its servers`);
    }
  }
  if (slow.length > 0 !== (delayMs > 0 || bytesPerSecond !== null))
    throw new MeshError(
      'usage',
      '--slow says which links, --delay-ms and --bandwidth how slow: both or none',
    );
  if (blow.oneWay !== undefined && partition.length + cut.length === 0)
    throw new MeshError('usage', '--one-way is about a --partition or a --cut');
}

/** The condition of each link concerned. @param coordinator who it is at this moment */
export function conditionsOf(blow: CutBlow, there: LinkEnds, coordinator: number): LinkConditions {
  const conditions: LinkConditions = {};
  const slow: LinkCondition = { ...passing, delayMs: blow.delayMs, bytesPerSecond: blow.bytesPerSecond };
  for (const { link } of linksOf(blow.slow, there, coordinator)) conditions[link] = slow;
  for (const concerned of [...betweenSides(blow.partition), ...linksOf(blow.cut, there, coordinator)]) {
    conditions[concerned.link] = brokenFor(blow, concerned);
  }
  return conditions;
}

/** True if some node keeps the gateway, PostgreSQL and what its election needs, so that draining must go on. */
export function someoneCanDrain(conditions: LinkConditions, there: LinkEnds): boolean {
  const passes = (link: string) => (conditions[link]?.state ?? 'pass') === 'pass';
  const elects = (id: number) =>
    !there.needsZooKeeper || upTo(there.zookeepers).some((server) => passes(zooKeeperLink(id, server)));
  return upTo(there.nodes).some((id) => passes(gatewayLink(id)) && passes(postgresLink(id)) && elects(id));
}

export function describeCut({ partition, cut, slow, silent, oneWay, ...blow }: CutBlow): string {
  const how = oneWay === undefined ? (silent ? ' in silence' : '') : ` one way (${oneWay})`;
  const names = (selectors: LinkSelector[]) =>
    selectors.map(({ who, to }) => `${nameOf(who)}:${nameOf(to)}`).join(',');
  return [
    ...(partition.length === 0
      ? []
      : [`partition ${partition.map((side) => side.join(',')).join('/')}${how}`]),
    ...(cut.length === 0 ? [] : [`cut ${names(cut)}${how}`]),
    ...(slow.length === 0
      ? []
      : [`slow ${names(slow)} (${blow.delayMs} ms, ${blow.bytesPerSecond ?? 'any'} bytes/s)`]),
  ].join(', ');
}

/** A link as seen from the end that the cut names first. */
interface Concerned {
  link: string;
  /** That end is the one that dials. */
  dials: boolean;
}

function betweenSides(sides: number[][]): Concerned[] {
  return sides.flatMap((side, index) =>
    sides
      .slice(index + 1)
      .flatMap((other) =>
        side.flatMap((one) => other.map((two) => ({ link: nodeLink(one, two), dials: one < two }))),
      ),
  );
}

function linksOf(selectors: LinkSelector[], there: LinkEnds, coordinator: number): Concerned[] {
  return selectors.flatMap(({ who, to }) => {
    const whose = who === 'every' ? upTo(there.nodes) : [who === 'coordinator' ? coordinator : who];
    return whose.flatMap((id) => linksFrom(id, to, there));
  });
}

function linksFrom(id: number, to: LinkSelector['to'], { nodes, zookeepers }: LinkEnds): Concerned[] {
  const server = serverOf(to);
  if (server !== undefined) {
    const servers = to === 'zookeeper' ? upTo(zookeepers) : [server];
    return servers.map((one) => ({ link: zooKeeperLink(id, one), dials: true }));
  }
  if (to === 'gateway') return [{ link: gatewayLink(id), dials: true }];
  if (to === 'postgres') return [{ link: postgresLink(id), dials: true }];
  const others = to === 'nodes' ? upTo(nodes) : [Number(to)];
  return others
    .filter((other) => other !== id)
    .map((other) => ({ link: nodeLink(id, other), dials: id < other }));
}

function brokenFor({ silent, oneWay }: CutBlow, { dials }: Concerned): LinkCondition {
  if (oneWay === undefined) return { ...passing, state: silent ? 'stall' : 'cut' };
  return { ...passing, state: 'stall', direction: dials === (oneWay === 'out') ? 'forward' : 'backward' };
}

/** The server of ZooKeeper that is meant, the first one for all of them; undefined if it is another end. */
function serverOf(to: LinkSelector['to']): number | undefined {
  const [, number = '1'] = /^zookeeper(?:-(\d))?$/.exec(String(to)) ?? [undefined, ''];
  return number === '' ? undefined : Number(number);
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
const nameOf = (end: LinkSelector['who'] | LinkSelector['to']) =>
  typeof end === 'number' ? `node-${end}` : end;
