/**
 * Counts the herd effect: the same candidates and the same deaths under the herd-free and the
 * simple election.
 */
import type { HerdDocument } from '@thermomesh/contracts';
import { openLink, passing, type Link } from '@thermomesh/links';
import { sleep } from '@thermomesh/runtime';
import { LeaderElection, SimpleElection, ZooKeeper, type Lease } from '@thermomesh/zookeeper';
import { meshError } from '../errors.ts';
import type { DemoZooKeeper } from './zookeeper.ts';

export interface HerdOptions {
  nodes: number;
  kills: number;
  signal: AbortSignal;
  onProgress: (line: string) => void;
}

type Arm = HerdDocument['arms'][number];

/**
 * One candidate with a session and a link of its own; when the link is cut, the candidate is as
 * good as killed.
 */
interface Candidate {
  zk: ZooKeeper;
  link: Link;
  election: LeaderElection | SimpleElection;
}

/**
 * Session timeout of a dead leader; long enough that no living session expires on a loaded machine.
 */
const sessionTimeoutMs = 3_000;
const connectTimeoutMs = 20_000;
/** Time limit of each step: all candidates at rest, or a new leader. */
const stepTimeoutMs = 60_000;
const pollIntervalMs = 10;
/** Number of candidates that join at the same time. */
const joiningMax = 10;

const elections = { 'herd-free': LeaderElection, 'create and watch': SimpleElection } as const;

/**
 * Runs both elections side by side.
 * @throws MeshError `demo.stuck` if an election makes no progress
 */
export async function demonstrateHerd(place: DemoZooKeeper, options: HerdOptions): Promise<HerdDocument> {
  const { nodes, kills } = options;
  const names = Object.keys(elections) as (keyof typeof elections)[];
  const played = await Promise.allSettled(names.map(async (name) => playArm(place, name, options)));
  const arms = played.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
  return { ok: keepsHerdPromises(arms, nodes, kills), nodes, kills, arms };
}

/**
 * True if in both elections one leader follows another under growing epochs, and herd-free each
 * death wakes one candidate; each broken connection may wake one more.
 */
export function keepsHerdPromises(arms: readonly Arm[], nodes: number, kills: number): boolean {
  const [free, simple] = arms;
  if (free === undefined || simple === undefined) return false;
  const led = arms.every((arm) => arm.epochsGrow && arm.leaders === kills + 1);
  const herdFree = free.wakeUps >= kills && free.wakeUps <= kills + free.breaks;
  // Of two candidates one is left after a death, and one is no herd.
  return led && herdFree && (nodes <= 2 || kills === 0 || simple.wakeUps > free.wakeUps);
}

async function playArm(
  place: DemoZooKeeper,
  name: keyof typeof elections,
  options: HerdOptions,
): Promise<Arm> {
  const { nodes, kills, onProgress } = options;
  const path = `${place.root}/${name.replaceAll(' ', '-')}`;
  const arm: Arm = {
    name,
    leaders: 0,
    epochsGrow: true,
    wakeUps: 0,
    wakeUpsMax: 0,
    requests: 0,
    requestsMax: 0,
    breaks: 0,
  };
  const alive = new Set<Candidate>();
  const ended: Promise<void>[] = [];
  let lastEpoch = 0n;
  const elected = (lease: Lease) => {
    arm.leaders += 1;
    arm.epochsGrow &&= lease.epoch > lastEpoch;
    lastEpoch = lease.epoch;
  };
  try {
    for (let joined = 0; joined < nodes; joined += joiningMax) {
      const group = Array.from({ length: Math.min(joiningMax, nodes - joined) }, async (_, index) => {
        const id = `candidate-${joined + index + 1}`;
        const candidate = await join(place.hosts, joined + index, (zk) => {
          return new elections[name](zk, { path, id, listener: { elected } });
        });
        alive.add(candidate);
        candidate.zk.onPhase((phase) => {
          if (phase === 'suspended' && alive.has(candidate)) arm.breaks += 1;
        });
      });
      await allSettledOrThrow(group);
    }
    await atRest(alive, name, options.signal);
    for (let kill = 1; kill <= kills; kill += 1) {
      const leader = [...alive].find(({ election }) => election.leads);
      if (leader === undefined) throw meshError('demo.stuck', `${name}: there is no leader`);
      alive.delete(leader);
      const before = countsOf(alive);
      ended.push(cutOff(leader));
      await atRest(alive, name, options.signal);
      const after = countsOf(alive);
      const wakeUps = after.wakeUps - before.wakeUps;
      const requests = after.requests - before.requests;
      arm.wakeUps += wakeUps;
      arm.requests += requests;
      arm.wakeUpsMax = Math.max(arm.wakeUpsMax, wakeUps);
      arm.requestsMax = Math.max(arm.requestsMax, requests);
      onProgress(`${name}: death ${kill} of ${kills} woke ${wakeUps} of ${alive.size}, ${requests} requests`);
    }
    return arm;
  } finally {
    const rest = [...alive];
    alive.clear();
    await Promise.all([...ended, ...rest.map(close)]);
  }
}

async function join(
  hosts: string,
  index: number,
  create: (zk: ZooKeeper) => Candidate['election'],
): Promise<Candidate> {
  const slash = hosts.indexOf('/');
  const servers = (slash < 0 ? hosts : hosts.slice(0, slash)).split(',');
  const chroot = slash < 0 ? '' : hosts.slice(slash);
  const server = servers[index % servers.length] ?? '';
  const colon = server.lastIndexOf(':');
  const target = { host: server.slice(0, colon), port: Number(server.slice(colon + 1)) };
  const link = await openLink({ name: `candidate-${index + 1}:zookeeper`, port: 0, target });
  const zk = new ZooKeeper({ hosts: `127.0.0.1:${link.port}${chroot}`, sessionTimeoutMs });
  const candidate = { zk, link, election: create(zk) };
  try {
    zk.start();
    await zk.whenConnected({ timeoutMs: connectTimeoutMs });
    candidate.election.start();
    return candidate;
  } catch (error) {
    await close(candidate);
    throw error;
  }
}

/** Cuts the candidate off silently, so that its session expires like that of a killed process. */
async function cutOff({ zk, link, election }: Candidate): Promise<void> {
  await link.set({ ...passing, state: 'cut' });
  await Promise.all([election.close(), zk.close()]);
  await link.close();
}

async function close({ zk, link, election }: Candidate): Promise<void> {
  await election.close();
  await zk.close();
  await link.close();
}

/**
 * Waits until one candidate leads, all others wait for their watch, and no request is under way.
 */
async function atRest(alive: ReadonlySet<Candidate>, name: string, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + stepTimeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const leading = [...alive].filter(({ election }) => election.leads).length;
    const waiting = [...alive].filter(({ election, zk }) => election.resting && zk.requestsInFlight === 0);
    if (leading === 1 && waiting.length === alive.size - 1) return;
    if (Date.now() > deadline) {
      throw meshError('demo.stuck', `${name}: ${leading} lead and ${waiting.length} of ${alive.size} wait`);
    }
    await sleep(pollIntervalMs);
  }
}

function countsOf(alive: ReadonlySet<Candidate>): { wakeUps: number; requests: number } {
  let [wakeUps, requests] = [0, 0];
  for (const { election, zk } of alive) {
    wakeUps += election.wakeUps;
    requests += zk.requestsMade;
  }
  return { wakeUps, requests };
}

/**
 * Throws the first failure once all of the work has settled, so that none of it continues
 * unnoticed.
 */
async function allSettledOrThrow(work: Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find(({ status }) => status === 'rejected');
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
}
