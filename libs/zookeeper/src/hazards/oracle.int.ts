/** Many contests at once, over links and servers that fail all the time: no two holders overlap, no epoch comes back, nobody is stuck. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { passing, type LinkCondition } from '@thermomesh/links';
import { testEnsemble, type TestEnsemble } from '@thermomesh/servers';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { LeaderElection } from '../recipes/leader-election.ts';
import type { Lease } from '../recipes/lease.ts';
import { Lock, ReadWriteLock } from '../recipes/lock.ts';
import { TestClients, testTickTimeMs, type LinkedClient } from '../testing/clients.ts';
import { oracleRounds } from '../testing/config.ts';
import { Oracle } from '../testing/oracle.ts';
import { until } from '../testing/until.ts';

let ensemble: TestEnsemble;
let clients: TestClients;
before(async () => {
  ensemble = await testEnsemble({ tickTimeMs: testTickTimeMs });
  clients = new TestClients(ensemble.hosts);
});
after(async () => ensemble.remove());
afterEach(async () => {
  await clients.closeAll();
  assert.deepEqual(clients.faults, []);
});

const arenasPerKind = 3;
const contendersPerArena = 3;
const sessionTimeoutMs = 500;
const holdMsMax = 8;
const faultMsMax = 40;
const serverFaultMsMax = 300;
const timeoutMs = 60_000;

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
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
/** One who contends, until it is told to end. */
type Contend = (zk: ZooKeeper, arena: Arena) => Promise<void>;

/** One thing that is contended for. */
class Arena {
  readonly path: string;
  readonly random: () => number;
  readonly #oracle = new Oracle();
  readonly #inside = new Map<Lease, Mode>();
  over = false;

  constructor(path: string, random: () => number) {
    this.path = path;
    this.random = random;
  }

  get rounds(): number {
    return this.#oracle.entries;
  }

  /** Acts for a while, then gives the lease up. */
  async hold(lease: Lease, mode: Mode = 'write'): Promise<void> {
    // Lost before it was used: that is no overlap, and nothing to enter with.
    if (lease.held) {
      this.#oracle.enter(lease, mode);
      this.#inside.set(lease, mode);
      const stop = lease.onHeld((held) => held && this.#assertAlone(lease, mode));
      await delay(this.random() * holdMsMax);
      stop();
      this.#inside.delete(lease);
      this.#oracle.leave(lease);
    }
    await lease.release();
  }

  /** When it is confirmed again nobody may have come in between. */
  #assertAlone(mine: Lease, mode: Mode): void {
    for (const [other, otherMode] of this.#inside) {
      const shared = mode === 'read' && otherMode === 'read';
      if (other !== mine && !shared)
        assert.ok(!other.held, `epochs ${mine.epoch} and ${other.epoch} overlap`);
    }
  }
}

const contests: Record<string, Contend> = {
  lock: async (zk, arena) => {
    const lock = new Lock(zk, arena.path).start();
    while (!arena.over) await arena.hold(await lock.acquire({ timeoutMs }));
  },
  'read/write lock': async (zk, arena) => {
    const lock = new ReadWriteLock(zk, arena.path).start();
    while (!arena.over) {
      if (arena.random() < 0.5) await arena.hold(await lock.read({ timeoutMs }), 'read');
      else await arena.hold(await lock.write({ timeoutMs }), 'write');
    }
  },
  leader: async (zk, arena) => {
    const failed = Promise.withResolvers<never>();
    const listener = {
      elected: (lease: Lease) => void arena.hold(lease).catch(failed.reject),
      failed: failed.reject,
    };
    const election = new LeaderElection(zk, { path: arena.path, id: 'any', listener }).start();
    await Promise.race([failed.promise, until(() => arena.over, 'the end', Infinity)]);
    await election.close();
  },
};

/** Breaks one link after the other, for a moment or until the session is lost. Returns how often. */
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
    if (long) await until(() => zk.phase === 'lost' || arena.over, 'the loss', timeoutMs);
    else await delay(arena.random() * faultMsMax);
    await link.set(passing);
    await until(() => zk.phase === 'connected' || arena.over, 'the reconnect', timeoutMs);
  }
  return faults;
}

/** Kills and freezes one server after the other; a majority is always left. Returns how often. */
async function breakServers(random: () => number, isOver: () => boolean): Promise<number> {
  let faults = 0;
  for (; !isOver(); faults += 1) {
    const member = ensemble.members[faults % ensemble.members.length] ?? assert.fail();
    if (random() < 0.5) {
      await member.kill();
      await delay(random() * serverFaultMsMax);
      await member.restart();
    } else {
      await member.pause();
      await delay(random() * serverFaultMsMax);
      await member.resume();
    }
    await ensemble.untilServing(ensemble.members.length, timeoutMs);
  }
  return faults;
}

async function connectAll(): Promise<LinkedClient[]> {
  return Promise.all(
    Array.from({ length: contendersPerArena }, async (_, index) =>
      clients.connectThroughLink({ target: ensemble.members[index % 3]?.host ?? '', sessionTimeoutMs }),
    ),
  );
}

describe('under kills, pauses and cut links', () => {
  it(`nobody overlaps, and nobody is stuck, in ${oracleRounds} rounds`, async (t) => {
    const seed = Date.now() % 2 ** 32;
    t.diagnostic(`seed ${seed}`);
    const random = randomFrom(seed);
    const work: Promise<unknown>[] = [];
    const faults: Promise<number>[] = [];
    const arenas: Arena[] = [];
    const failures: unknown[] = [];
    for (const [kind, contend] of Object.entries(contests)) {
      for (let index = 0; index < arenasPerKind; index += 1) {
        const path = `/oracle/${kind.replaceAll('/', '-')}-${index}`;
        const arena = new Arena(path, randomFrom(random() * 2 ** 32));
        const linked = await connectAll();
        arenas.push(arena);
        faults.push(breakLinks(linked, arena));
        for (const { zk } of linked)
          work.push(contend(zk, arena).catch((error: unknown) => failures.push(error)));
      }
    }
    const rounds = () => arenas.reduce((sum, arena) => sum + arena.rounds, 0);
    let over = false;
    const servers = breakServers(random, () => over);
    try {
      const least = oracleRounds / arenas.length / 2;
      const enough = () => rounds() >= oracleRounds && arenas.every((arena) => arena.rounds >= least);
      await until(() => failures.length > 0 || enough(), `${oracleRounds} rounds`, oracleRounds * 1_000);
    } finally {
      over = true;
      for (const arena of arenas) arena.over = true;
      // Whoever has failed holds what others wait for.
      if (failures.length > 0) await clients.closeAll();
      await Promise.all([servers, ...faults, ...work]);
    }
    assert.deepEqual(failures.slice(0, 1), []);
    const broken = (await Promise.all(faults)).reduce((sum, count) => sum + count, 0);
    t.diagnostic(`${rounds()} rounds, ${broken} faults of links, ${await servers} of servers`);
    // Whatever was left behind by whoever died must not be in the way of the next one.
    const zk = await clients.connect({ sessionTimeoutMs: 2_000 });
    for (const arena of arenas) {
      const lease = await new Lock(zk, arena.path).start().acquire({ timeoutMs });
      await lease.release();
    }
  });
});
