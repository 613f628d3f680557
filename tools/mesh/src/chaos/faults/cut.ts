/** Selects the links of a cut and their conditions. Pure. */
import { passing, type LinkCondition, type LinkConditions } from '@thermomesh/links';
import { meshError } from '../../errors.ts';
import { gatewayLink, nodeLink, postgresLink, zooKeeperLink } from '../../local/links/names.ts';

/** Links of one node, of the coordinator, or of every node. */
export interface LinkSelector {
  who: number | 'coordinator' | 'every';
  /**
   * All its links to other nodes; its link to the gateway, to PostgreSQL, to all servers of
   * ZooKeeper or one of them; or its link to one node.
   */
  to: number | (typeof ends)[number] | `zookeeper-${number}`;
}

const ends = ['nodes', 'gateway', 'postgres', 'zookeeper'] as const;

/** The ends of the links of a mesh. */
export interface LinkEnds {
  nodes: number;
  /** Number of ZooKeeper servers; 0 if the mesh runs none. */
  zookeepers: number;
  /** True if its nodes elect with ZooKeeper, so that a node without it cannot drain. */
  needsZooKeeper: boolean;
}

export interface CutFault {
  kind: 'links';
  /** Node ids by side. Links between sides are cut; a node on no side keeps all its links. */
  partition: number[][];
  cut: LinkSelector[];
  /** Links that are delayed, or have a limited bandwidth. */
  slow: LinkSelector[];
  /** Drops data silently, instead of resetting and refusing connections. */
  silent: boolean;
  /**
   * Drops one direction only, silently: `out` loses what the side named first sends, `in` what it
   * would receive.
   */
  oneWay?: 'out' | 'in' | undefined;
  delayMs: number;
  bytesPerSecond: number | null;
  /** Time from the cut to the heal. */
  pauseMs: number;
}

/**
 * Parses a partition such as `1,2/3,4,5`.
 * @throws MeshError `usage`
 */
export function parsePartition(text: string): number[][] {
  const sides = text.split('/').map((side) => side.split(',').map(Number));
  const ids = sides.flat();
  const sound =
    /^[1-9](,[1-9])*(\/[1-9](,[1-9])*)+$/.test(text.replaceAll(' ', '')) && new Set(ids).size === ids.length;
  if (!sound) {
    throw meshError(
      'usage',
      `"${text}" is not a partition: give node ids by side, each once, such as 1,2/3,4,5`,
    );
  }
  return sides;
}

/**
 * Parses links such as `coordinator:gateway,node-2:zookeeper`.
 * @throws MeshError `usage`
 */
export function parseSelectors(text: string): LinkSelector[] {
  return text.split(',').map((word) => {
    const match =
      /^(coordinator|every|node-([1-9])):(nodes|gateway|postgres|zookeeper(?:-[1-9])?|node-([1-9]))$/.exec(
        word.trim(),
      ) ?? [];
    const [, who, node, to, other] = match;
    if (who === undefined || to === undefined || (node !== undefined && node === other)) {
      throw meshError(
        'usage',
        `"${word}" is not a link: <coordinator|every|node-N>:<nodes|gateway|postgres|zookeeper|zookeeper-N|node-N>, such as node-2:gateway`,
      );
    }
    return {
      who: node === undefined ? (who as 'coordinator' | 'every') : Number(node),
      to: other === undefined ? (to as LinkSelector['to']) : Number(other),
    };
  });
}

/**
 * Checks a cut against the mesh.
 * @throws MeshError `usage` if it names no links, names a node or server that the mesh does not
 *   have, or contradicts itself
 */
export function checkCut(fault: CutFault, { nodes, zookeepers }: LinkEnds): void {
  const { partition, cut, slow, delayMs, bytesPerSecond } = fault;
  if (partition.length + cut.length + slow.length === 0)
    throw meshError('usage', 'a cut names links: --partition, --cut or --slow');
  const named = [
    ...partition.flat(),
    ...[...cut, ...slow].flatMap(({ who, to }) => [who, to]).filter((id) => typeof id === 'number'),
  ];
  const unknown = named.find((id) => id > nodes);
  if (unknown !== undefined) throw meshError('usage', `there is no node ${unknown} in this mesh`);
  for (const { to } of [...cut, ...slow]) {
    const server = serverOf(to);
    if (server !== undefined && server > zookeepers) {
      const what = zookeepers === 0 ? 'no ZooKeeper' : `no server ${String(to)}`;
      throw meshError('usage', `this mesh runs ${what}: it has ${zookeepers} of its servers`);
    }
  }
  if (slow.length > 0 !== (delayMs > 0 || bytesPerSecond !== null))
    throw meshError(
      'usage',
      '--slow says which links, --delay-ms and --bandwidth how slow: give both or none',
    );
  if (fault.oneWay !== undefined && partition.length + cut.length === 0)
    throw meshError('usage', '--one-way needs a --partition or a --cut');
}

/**
 * The condition of each affected link.
 * @param coordinator the node that coordinates at this moment
 */
export function conditionsOf(fault: CutFault, there: LinkEnds, coordinator: number): LinkConditions {
  const conditions: LinkConditions = {};
  const slow: LinkCondition = { ...passing, delayMs: fault.delayMs, bytesPerSecond: fault.bytesPerSecond };
  for (const { link } of linksOf(fault.slow, there, coordinator)) conditions[link] = slow;
  for (const concerned of [...betweenSides(fault.partition), ...linksOf(fault.cut, there, coordinator)]) {
    conditions[concerned.link] = brokenFor(fault, concerned);
  }
  return conditions;
}

/**
 * True if some node still reaches the gateway, PostgreSQL and what its election needs, so that
 * draining must continue.
 */
export function someoneCanDrain(conditions: LinkConditions, there: LinkEnds): boolean {
  const passes = (link: string) => (conditions[link]?.state ?? 'pass') === 'pass';
  const elects = (id: number) =>
    !there.needsZooKeeper || upTo(there.zookeepers).some((server) => passes(zooKeeperLink(id, server)));
  return upTo(there.nodes).some((id) => passes(gatewayLink(id)) && passes(postgresLink(id)) && elects(id));
}

export function describeCut({ partition, cut, slow, silent, oneWay, ...fault }: CutFault): string {
  const how = oneWay === undefined ? (silent ? ' silently' : '') : ` one way (${oneWay})`;
  const names = (selectors: LinkSelector[]) =>
    selectors.map(({ who, to }) => `${nameOf(who)}:${nameOf(to)}`).join(',');
  return [
    ...(partition.length === 0
      ? []
      : [`partition ${partition.map((side) => side.join(',')).join('/')}${how}`]),
    ...(cut.length === 0 ? [] : [`cut ${names(cut)}${how}`]),
    ...(slow.length === 0
      ? []
      : [`slow ${names(slow)} (${fault.delayMs} ms, ${fault.bytesPerSecond ?? 'any'} bytes/s)`]),
  ].join(', ');
}

/** A link, seen from the end that the cut names first. */
interface Concerned {
  link: string;
  /** True if that end dials. */
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

function brokenFor({ silent, oneWay }: CutFault, { dials }: Concerned): LinkCondition {
  if (oneWay === undefined) return { ...passing, state: silent ? 'stall' : 'cut' };
  return { ...passing, state: 'stall', direction: dials === (oneWay === 'out') ? 'forward' : 'backward' };
}

/** Number of the ZooKeeper server, 1 for all servers; undefined for any other end. */
function serverOf(to: LinkSelector['to']): number | undefined {
  const [, number = '1'] = /^zookeeper(?:-(\d))?$/.exec(String(to)) ?? [undefined, ''];
  return number === '' ? undefined : Number(number);
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
const nameOf = (end: LinkSelector['who'] | LinkSelector['to']) =>
  typeof end === 'number' ? `node-${end}` : end;
