/** The life that every recipe has: latent, started, closed; through lost sessions, and closed in whatever state it is. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { passing } from '@thermomesh/links';
import type { ZooKeeper } from '../client/zookeeper.ts';
import type { Recipe } from '../recipes/recipe.ts';
import { TestClients } from '../testing/clients.ts';
import { ephemeralsOf } from '../testing/looks.ts';
import { until } from '../testing/until.ts';

/** What the suite has to know of a recipe. */
export interface Life<R extends Recipe> {
  /** @param alone it is the only one that uses `path`; otherwise another one does too */
  make(zk: ZooKeeper, path: string, alone: boolean): R;
  /** Returns when it does what it is for; also called again after a lost session. */
  works(recipe: R): Promise<unknown>;
  /** How many ephemeral nodes it has while it works. */
  owns: number;
  /** Makes what the other one waits for not happen. */
  hinders?(other: R): Promise<unknown>;
  /** Does not settle as long as it is hindered, or nobody can be reached. */
  waits?(recipe: R): Promise<unknown>;
}

const shortSessionMs = 600;
let places = 0;

/** @param hosts of the suite's server; called when a test runs */
export function lifecycleConformance<R extends Recipe>(
  name: string,
  life: Life<R>,
  hosts: () => string,
): void {
  const prepare = (t: TestContext) => {
    const clients = new TestClients(hosts());
    t.after(async () => {
      await clients.closeAll();
      assert.deepEqual(clients.faults, []);
    });
    return { clients, path: `/lives/l${(places += 1)}` };
  };
  const leavesNothing = async (onlooker: ZooKeeper, path: string, sessions: readonly bigint[]) =>
    until(async () => {
      const left = await Promise.all(sessions.map(async (session) => ephemeralsOf(onlooker, path, session)));
      return left.flat().length === 0;
    }, `nothing of ${name} to be left`);

  // Each test has clients and a place of its own, and most of its time is spent waiting.
  describe(`the life of ${name}`, { concurrency: true }, () => {
    it('is started once; closed before the start it asks nothing, closed twice it is closed once', async (t) => {
      const { clients, path } = prepare(t);
      const zk = await clients.connect();
      const asked = zk.requestsMade;
      const never = life.make(zk, path, true);
      assert.equal(never.state, 'latent');
      await never.close();
      assert.deepEqual([never.state, zk.requestsMade], ['closed', asked]);
      assert.throws(() => never.start(), { code: 'zookeeper.misused' });
      const recipe = life.make(zk, path, true).start();
      assert.equal(recipe.state, 'started');
      assert.throws(() => recipe.start(), { code: 'zookeeper.misused' });
      await life.works(recipe);
      await Promise.all([recipe.close(), recipe.close()]);
      await recipe.close();
      assert.equal(recipe.state, 'closed');
      assert.throws(() => recipe.start(), { code: 'zookeeper.misused' });
      assert.deepEqual(await ephemeralsOf(zk, path, zk.session?.id ?? 0n), []);
    });

    it('closed while it waits it ends the wait, leaves no node and asks nothing any more', async (t) => {
      const { clients, path } = prepare(t);
      const [zk, onlooker] = [await clients.connect(), await clients.connect()];
      const other = life.make(onlooker, path, false).start();
      await life.hinders?.(other);
      const recipe = life.make(zk, path, false).start();
      const waiting = life.waits?.(recipe);
      const ended = waiting === undefined ? undefined : assert.rejects(waiting, { code: 'zookeeper.closed' });
      await until(() => zk.requestsInFlight === 0 && zk.requestsMade > 0, 'it to rest');
      await recipe.close();
      await ended;
      const asked = zk.requestsMade;
      await other.close();
      await onlooker.ensurePath(path);
      await onlooker.deleteTree(path);
      await zk.sync('/');
      assert.equal(zk.requestsMade, asked + 1);
      await leavesNothing(onlooker, path, [zk.session?.id ?? 0n]);
    });

    it('closed while nobody can be reached it ends all the same, and leaves no node behind', async (t) => {
      const { clients, path } = prepare(t);
      const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: shortSessionMs });
      const onlooker = await clients.connect();
      const session = zk.session?.id ?? 0n;
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const recipe = life.make(zk, path, false).start();
      const waiting = life.waits?.(recipe);
      const ended = waiting === undefined ? undefined : assert.rejects(waiting, { code: 'zookeeper.closed' });
      await Promise.all([recipe.close(), ended]);
      await link.set(passing);
      const next = await zk.whenConnected({ timeoutMs: 30_000 });
      await leavesNothing(onlooker, path, [session, next.id]);
    });

    it('a lost session is made good: it works again, and what it owns is of the new session', async (t) => {
      const { clients, path } = prepare(t);
      const { zk, link, phases } = await clients.connectThroughLink({ sessionTimeoutMs: shortSessionMs });
      const onlooker = await clients.connect();
      const recipe = life.make(zk, path, true).start();
      await life.works(recipe);
      const owned = async () => {
        const { id } = await zk.whenConnected({ timeoutMs: 30_000 });
        return (await ephemeralsOf(onlooker, path, id)).length;
      };
      await until(async () => (await owned()) === life.owns, `${life.owns} nodes`);
      const session = zk.session?.id ?? 0n;
      phases.length = 0;
      await link.set({ ...passing, state: 'stall' });
      await until(() => phases.includes('lost'), 'the loss');
      await link.set(passing);
      await life.works(recipe);
      await until(async () => (await owned()) === life.owns, `${life.owns} nodes again`);
      await leavesNothing(onlooker, path, [session]);
      await recipe.close();
      await leavesNothing(onlooker, path, [(await zk.whenConnected()).id]);
    });
  });
}
