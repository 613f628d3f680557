/**
 * Measures the time from the end of a coordinator to its successor's first commit, while the fleet
 * publishes.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { testZooKeeper } from '@thermomesh/servers';
import { until, type UntilOptions } from '@thermomesh/testing';
import { percentile } from '../core/statistics.ts';
import { startGenerator, type Generator } from '../parts/generator.ts';
import { freePorts, startGateway, startNode, type Gateway, type Node, type World } from '../parts/world.ts';
import { below, round, type Arm, type Findings } from '../parts/arms.ts';
import { patience } from './chain.ts';
import type { IngestPlan } from './plan.ts';

const p99TargetMs = 500;
/** No hand-over to a returning higher node comes between two failovers. */
const noHandOver = { PREEMPT_HOLD_MS: '3600000' };

/** The analytics nodes; a node that died is started again. */
interface Nodes {
  readonly world: World;
  readonly generator: Generator;
  readonly byId: Map<number, Node>;
  start(nodeId: number): Promise<void>;
  stop(): Promise<void>;
}

export async function measureFailover(world: World, plan: IngestPlan): Promise<Findings> {
  const { kills, freezes, sessionKills, rate } = plan.failover;
  const gateway = await startGateway(world, 'gateway-failover');
  const [b1] = plan.shapes;
  const generator = await startGenerator(world, {
    name: 'failover',
    port: gateway.mqttPort,
    devices: b1.devices,
    login: true,
  });
  await generator.sendPaced(b1, rate);
  const usual = await startNodes({ world, generator }, gateway, plan, {});
  const killed = await repeat(kills, 'kill -9', world, async () => replaceAfter(usual, 'SIGKILL'));
  const frozen = await repeat(freezes, 'freeze', world, async () => replaceAfter(usual, 'SIGSTOP'));
  await usual.stop();
  const arms = [
    armOf('failover after kill -9', killed, 'our settings: the links break at once'),
    armOf(
      'failover after a freeze (SIGSTOP)',
      frozen,
      'our settings: no link breaks; silence and the lease show it',
    ),
  ];
  if (sessionKills > 0) arms.push(await measureSession({ world, generator }, gateway, plan));
  await generator.pause();
  await generator.callee.stop();
  return {
    arms: arms.filter(({ n }) => n !== 0),
    targets: [below(`failover after kill -9, p99 of ${killed.length}, ms`, p99Of(killed), p99TargetMs)],
  };
}

/**
 * The same nodes, elected by a real ZooKeeper, which learns of a death only when the session ends.
 */
async function measureSession(
  deps: Pick<Nodes, 'world' | 'generator'>,
  gateway: Gateway,
  plan: IngestPlan,
): Promise<Arm> {
  const { sessionKills, sessionMs } = plan.failover;
  const zookeeper = await testZooKeeper();
  try {
    const nodes = await startNodes(deps, gateway, plan, {
      ELECTION: 'zookeeper',
      ZOOKEEPER_HOSTS: zookeeper.hosts,
      ZOOKEEPER_SESSION_TIMEOUT_MS: String(sessionMs),
    });
    const name = `failover after kill -9, ELECTION=zookeeper, session ${sessionMs} ms`;
    const values = await repeat(sessionKills, name, deps.world, async () => replaceAfter(nodes, 'SIGKILL'));
    await nodes.stop();
    return armOf(name, values, 'the same nodes on one ZooKeeper server: the end of the session shows it');
  } finally {
    await zookeeper.remove();
  }
}

async function repeat(
  times: number,
  what: string,
  world: World,
  once: () => Promise<number>,
): Promise<number[]> {
  const values: number[] = [];
  for (let index = 0; index < times; index++) {
    values.push(await once());
    world.say(`failover, ${what}, ${index + 1} of ${times}: ${Math.round(values.at(-1)!)} ms`);
  }
  return values;
}

async function startNodes(
  { world, generator }: Pick<Nodes, 'world' | 'generator'>,
  gateway: Gateway,
  plan: IngestPlan,
  env: Record<string, string>,
): Promise<Nodes> {
  const ports = await freePorts(plan.failover.nodes);
  const byId = new Map<number, Node>();
  const start = async (nodeId: number) => {
    byId.set(nodeId, await startNode(world, { ports, nodeId, gateway, env: { ...noHandOver, ...env } }));
  };
  await Promise.all(ports.map(async (_, index) => start(index + 1)));
  const stop = async () => void (await Promise.all([...byId.values()].map(async (node) => node.stop())));
  return { world, generator, byId, start, stop };
}

/**
 * Ends or freezes the coordinator, waits for its successor's first commit, and replaces it.
 * @returns ms
 */
async function replaceAfter(nodes: Nodes, signal: 'SIGKILL' | 'SIGSTOP'): Promise<number> {
  const { byId } = nodes;
  const { node, epoch } = await whole(nodes);
  const victim = byId.get(node)!;
  const fromMs = Date.now();
  victim.signal(signal);
  const atMs = await untilFound('the first commit of a successor', async () => firstCommit(nodes, epoch), {
    timeoutMs: 30_000,
    pollMs: 10,
  });
  await victim.stop();
  await nodes.start(node);
  return atMs - fromMs;
}

/**
 * Resolves when every node knows the coordinator and is linked to all others, and the coordinator
 * commits.
 */
async function whole(nodes: Nodes): Promise<{ node: number; epoch: number }> {
  const look = async () => {
    const answers = await Promise.all(
      [...nodes.byId.values()].map(async (node) => node.coordinator().catch(() => undefined)),
    );
    const [first] = answers;
    const coordinator = first?.coordinator;
    const agree = answers.every(
      (answer) =>
        answer?.fit === true &&
        answer.coordinator?.epoch === coordinator?.epoch &&
        answer.peers.every(({ connected }) => connected),
    );
    return agree && coordinator !== null ? coordinator : undefined;
  };
  const found = await untilFound('every node to know the coordinator', look, { ...patience, pollMs: 50 });
  await untilFound('the coordinator to commit', async () => firstCommit(nodes, found.epoch - 1), patience);
  // Kills come at random moments of batches and pings, not always at the same one.
  await delay(Math.random() * 300);
  return found;
}

/**
 * Time of the first commit in an epoch above `aboveEpoch`, Unix ms; undefined if there is none yet.
 * @throws MeshError if the generator has failed, because no commit would come
 */
async function firstCommit(
  { world: { pool }, generator }: Nodes,
  aboveEpoch: number,
): Promise<number | undefined> {
  await generator.read();
  const [row] = await pool.query<{ atMs: number | null }>(
    'SELECT (extract(epoch FROM min(committed_at)) * 1000)::float8 AS "atMs" FROM drain_batches WHERE epoch > $1',
    [aboveEpoch],
  );
  return row?.atMs ?? undefined;
}

/** Looks until there is a value, and returns it. */
async function untilFound<T>(
  what: string,
  look: () => Promise<T | undefined>,
  options: UntilOptions,
): Promise<T> {
  const found: T[] = [];
  const holds = async () => {
    const value = await look();
    if (value !== undefined) found.push(value);
    return value !== undefined;
  };
  await until(what, holds, options);
  return found[0]!;
}

function p99Of(values: readonly number[]): number {
  return values.length === 0
    ? 0
    : percentile(
        [...values].sort((a, b) => a - b),
        99,
      );
}

function armOf(name: string, values: readonly number[], what: string): Arm {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (p: number) => (sorted.length === 0 ? null : round(percentile(sorted, p)));
  return {
    name,
    durable: true,
    what,
    n: values.length,
    failoverMs: { min: at(0), p50: at(50), p99: at(99), max: at(100) },
  };
}
