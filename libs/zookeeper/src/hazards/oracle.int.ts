/**
 * Many contests at once, over links and servers that fail all the time: no two holders overlap, no
 * epoch returns, no contender is stuck.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { passing, type LinkCondition } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { LeaderElection, SimpleElection } from '../recipes/election/leader-election.ts';
import type { Lease } from '../recipes/leases/lease.ts';
import { Lock, ReadWriteLock } from '../recipes/locks/lock.ts';
import { PartitionLeadership } from '../recipes/election/partition-leadership.ts';
import type { Recipe } from '../recipes/recipe.ts';
import { Semaphore } from '../recipes/locks/semaphore.ts';
import type { LinkedClient } from '../testing/clients.ts';
import { oracleRounds } from '../testing/config.ts';
import { Oracle } from '../testing/oracle.ts';
import { useZooKeeper } from '../testing/use-zookeeper.ts';

const { clients, ensemble } = useZooKeeper({ servers: 3 });

const contendersPerArena = 3;
/** The permits of the semaphore: fewer than the contenders. */
const permits = 2;
const partitions = 3;
const sessionTimeoutMs = 500;
const holdMsMax = 8;
const faultMsMax = 40;
const serverFaultMsMax = 300;
const timeoutMs = 60_000;

/** Pseudo-random numbers in [0, 1) that a seed repeats (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Mode = 'read' | 'write';

/** One thing that is contended for, or several of a kind: slots, partitions. */
class Arena {
  readonly path: string;
  readonly random: () => number;
  readonly #oracles = new Map<number, Oracle>();
  readonly #inside = new Map<Lease, { mode: Mode; which: number }>();
  over = false;

  constructor(path: string, random: () => number) {
    this.path = path;
    this.random = random;
  }

  get rounds(): number {
    return [...this.#oracles.values()].reduce((sum, { entries }) => sum + entries, 0);
  }

  /** Acts for a while, then releases the lease. */
  async hold(
    lease: Lease,
    { mode = 'write', which = 0 }: { mode?: Mode; which?: number } = {},
  ): Promise<void> {
    const oracle = this.#oracles.get(which) ?? new Oracle();
    this.#oracles.set(which, oracle);
    // The lease was lost before it was used: that is no overlap, and there is nothing to enter
    // with.
    if (lease.held) {
      oracle.enter(lease, mode);
      this.#inside.set(lease, { mode, which });
      const stop = lease.onHeld((held) => held && this.#assertAlone(lease));
      await delay(this.random() * holdMsMax);
      stop();
      this.#inside.delete(lease);
      oracle.leave(lease);
    }
    await lease.release();
  }

  /** When a lease is confirmed again, no other holder may have come in between. */
  #assertAlone(mine: Lease): void {
    const me = this.#inside.get(mine);
    for (const [other, { mode, which }] of this.#inside) {
      const shared = which !== me?.which || (mode === 'read' && me.mode === 'read');
      if (other !== mine && !shared)
        assert.ok(!other.held, `epochs ${mine.epoch} and ${other.epoch} overlap`);
    }
  }
}

/** One way to contend. */
interface Contest {
  arenas: number;
  /** Contends until the arena is over. */
  contend: (zk: ZooKeeper, arena: Arena, id: string) => Promise<void>;
  /** What a dead contender has left behind must not block the next one. */
  follow: (zk: ZooKeeper, path: string) => Promise<unknown>;
}

/** Runs a recipe that acts by itself until the arena is over. */
async function untilOver(arena: Arena, start: (fail: (error: unknown) => void) => Recipe): Promise<void> {
  const failed = Promise.withResolvers<never>();
  const recipe = start(failed.reject);
  await Promise.race([failed.promise, until('the end', () => arena.over, { timeoutMs: Infinity })]);
  await recipe.close();
}

const electing = (Election: typeof LeaderElection | typeof SimpleElection): Omit<Contest, 'arenas'> => ({
  contend: async (zk, arena, id) =>
    untilOver(arena, (failed) => {
      const elected = (lease: Lease) => void arena.hold(lease).catch(failed);
      return new Election(zk, { path: arena.path, id, listener: { elected, failed } }).start();
    }),
  follow: async (zk, path) => {
    const election = new Election(zk, { path, id: 'next' }).start();
    await until('the next leader', () => election.leads, { timeoutMs });
    await election.close();
  },
});

const contests: Record<string, Contest> = {
  lock: {
    arenas: 2,
    contend: async (zk, arena) => {
      const lock = new Lock(zk, arena.path).start();
      while (!arena.over) await arena.hold(await lock.acquire({ timeoutMs }));
    },
    follow: async (zk, path) => new Lock(zk, path).start().use(async () => undefined, { timeoutMs }),
  },
  'read/write lock': {
    arenas: 2,
    contend: async (zk, arena) => {
      const lock = new ReadWriteLock(zk, arena.path).start();
      while (!arena.over) {
        const mode = arena.random() < 0.5 ? 'read' : 'write';
        await arena.hold(await lock[mode]({ timeoutMs }), { mode });
      }
    },
    follow: async (zk, path) =>
      new ReadWriteLock(zk, path).start().useWrite(async () => undefined, { timeoutMs }),
  },
  leader: { arenas: 2, ...electing(LeaderElection) },
  'simple leader': { arenas: 1, ...electing(SimpleElection) },
  semaphore: {
    arenas: 1,
    contend: async (zk, arena) => {
      const semaphore = new Semaphore(zk, { path: arena.path, permits }).start();
      while (!arena.over) {
        const permit = await semaphore.acquire({ timeoutMs });
        assert.ok(permit.slot < permits);
        await arena.hold(permit, { which: permit.slot });
      }
    },
    follow: async (zk, path) => {
      const semaphore = new Semaphore(zk, { path, permits }).start();
      for (let taken = 0; taken < permits; taken += 1) await semaphore.acquire({ timeoutMs });
      await semaphore.close();
    },
  },
  'partition leader': {
    arenas: 1,
    contend: async (zk, arena, id) =>
      untilOver(arena, (failed) => {
        const gained = (which: number, lease: Lease) => void arena.hold(lease, { which }).catch(failed);
        const { path } = arena;
        return new PartitionLeadership(zk, { path, id, partitions, listener: { gained, failed } }).start();
      }),
    follow: async (zk, path) => {
      const last = new PartitionLeadership(zk, { path, id: 'next', partitions }).start();
      await until('all partitions', () => last.leading.length === partitions, { timeoutMs });
      await last.close();
    },
  },
};

/** Breaks one link after another, for a moment or until the session is lost. Returns how often. */
async function breakLinks(linked: readonly LinkedClient[], arena: Arena): Promise<number> {
  const conditions: LinkCondition[] = [
    { ...passing, state: 'cut' },
    { ...passing, state: 'stall' },
    { ...passing, state: 'stall', direction: 'backward' },
    { ...passing, state: 'stall', direction: 'forward' },
    { ...passing, delayMs: 15 },
  ];
  let faults = 0;
  for (; !arena.over; faults += 1) {
    const { zk, link } = linked[Math.floor(arena.random() * linked.length)] ?? assert.fail();
    const condition = conditions[Math.floor(arena.random() * conditions.length)] ?? passing;
    await link.set(condition);
    const long = condition.state !== 'pass' && arena.random() < 0.3;
    if (long) await until('the loss', () => zk.phase === 'lost' || arena.over, { timeoutMs });
    else await delay(arena.random() * faultMsMax);
    await link.set(passing);
    await until('the reconnect', () => zk.phase === 'connected' || arena.over, { timeoutMs });
  }
  return faults;
}

/** Kills and freezes one server after another; a majority always remains. Returns how often. */
async function breakServers(random: () => number, isOver: () => boolean): Promise<number> {
  let faults = 0;
  for (; !isOver(); faults += 1) {
    const member = ensemble().members[faults % ensemble().members.length] ?? assert.fail();
    if (random() < 0.5) {
      await member.kill();
      await delay(random() * serverFaultMsMax);
      await member.restart();
    } else {
      await member.pause();
      await delay(random() * serverFaultMsMax);
      await member.resume();
    }
    await ensemble().untilServing(ensemble().members.length, timeoutMs);
  }
  return faults;
}

async function connectAll(): Promise<LinkedClient[]> {
  return Promise.all(
    Array.from({ length: contendersPerArena }, async (_, index) =>
      clients.connectThroughLink({ target: ensemble().members[index % 3]?.host ?? '', sessionTimeoutMs }),
    ),
  );
}

describe('under kills, pauses and cut links', () => {
  it(`no holders overlap and no contender is stuck in ${oracleRounds} rounds`, async (t) => {
    const seed = Date.now() % 2 ** 32;
    t.diagnostic(`seed ${seed}`);
    const random = randomFrom(seed);
    const work: Promise<unknown>[] = [];
    const faults: Promise<number>[] = [];
    const arenas: Arena[] = [];
    const failures: unknown[] = [];
    const ends: (() => Promise<unknown>)[] = [];
    for (const [kind, { arenas: count, contend, follow }] of Object.entries(contests)) {
      for (let index = 0; index < count; index += 1) {
        const path = `/oracle/${kind.replaceAll(/\W/g, '-')}-${index}`;
        const arena = new Arena(path, randomFrom(random() * 2 ** 32));
        const linked = await connectAll();
        arenas.push(arena);
        faults.push(breakLinks(linked, arena));
        for (const [at, { zk }] of linked.entries())
          work.push(contend(zk, arena, `n${at}`).catch((error: unknown) => failures.push(error)));
        ends.push(async () => follow(await clients.connect(), path));
      }
    }
    const rounds = () => arenas.reduce((sum, arena) => sum + arena.rounds, 0);
    let over = false;
    const servers = breakServers(random, () => over);
    try {
      // A round of a semaphore takes several times as many requests as a round of a lock.
      const least = oracleRounds / arenas.length / 4;
      const enough = () => rounds() >= oracleRounds && arenas.every((arena) => arena.rounds >= least);
      await until(`${oracleRounds} rounds`, () => failures.length > 0 || enough(), {
        timeoutMs: oracleRounds * 1_000,
      });
    } finally {
      over = true;
      for (const arena of arenas) arena.over = true;
      // A contender that has failed holds what others wait for.
      if (failures.length > 0) await clients.closeAll();
      await Promise.all([servers, ...faults, ...work]);
    }
    assert.deepEqual(failures.slice(0, 1), []);
    const broken = (await Promise.all(faults)).reduce((sum, count) => sum + count, 0);
    t.diagnostic(`${rounds()} rounds, ${broken} faults of links, ${await servers} of servers`);
    await Promise.all(ends.map(async (end) => end()));
  });
});
