/**
 * The lifecycle of every recipe: latent, started, closed; through lost sessions, and closed in any
 * state.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import type { ZooKeeper } from '../client/zookeeper.ts';
import type { Recipe } from '../recipes/recipe.ts';
import { TestClients } from '../testing/clients.ts';
import { ephemeralsOf } from '../testing/looks.ts';

/** What the suite needs to know of a recipe. */
export interface Life<R extends Recipe> {
  /** @param alone true if this is the only recipe on `path`; otherwise another one uses it too */
  make(zk: ZooKeeper, path: string, alone: boolean): R;
  /** Resolves when the recipe does its work; called again after a lost session. */
  works(recipe: R): Promise<unknown>;
  /** The number of ephemeral nodes that it owns while it works. */
  owns: number;
  /** Prevents what the other recipe waits for. */
  hinders?(other: R): Promise<unknown>;
  /** Does not settle while the recipe is hindered, or while no server can be reached. */
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
    const clients = new TestClients(hosts);
    t.after(async () => {
      await clients.closeAll();
      assert.deepEqual(clients.errors, []);
    });
    return { clients, path: `/lives/l${(places += 1)}` };
  };
  const leavesNothing = async (onlooker: ZooKeeper, path: string, sessions: readonly bigint[]) =>
    until(`nothing of ${name} to be left`, async () => {
      const left = await Promise.all(sessions.map(async (session) => ephemeralsOf(onlooker, path, session)));
      return left.flat().length === 0;
    });

  // Each test has its own clients and paths, and most of its time is spent waiting.
  describe(`the life of ${name}`, { concurrency: true }, () => {
    it(`${name} starts once; a close before the start, or a second one, asks nothing`, async (t) => {
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

    it(`${name} that is closed while it waits ends the wait and leaves no node`, async (t) => {
      const { clients, path } = prepare(t);
      const [zk, onlooker] = [await clients.connect(), await clients.connect()];
      const other = life.make(onlooker, path, false).start();
      await life.hinders?.(other);
      const recipe = life.make(zk, path, false).start();
      const waiting = life.waits?.(recipe);
      const ended = waiting === undefined ? undefined : assert.rejects(waiting, { code: 'zookeeper.closed' });
      await until('it to rest', () => zk.requestsInFlight === 0 && zk.requestsMade > 0);
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

    it(`${name} that is closed without a server ends, and leaves no node behind`, async (t) => {
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

    it(`${name} works again in a new session after the old one was lost`, async (t) => {
      const { clients, path } = prepare(t);
      const { zk, link, phases } = await clients.connectThroughLink({ sessionTimeoutMs: shortSessionMs });
      const onlooker = await clients.connect();
      const recipe = life.make(zk, path, true).start();
      await life.works(recipe);
      const owned = async () => {
        const { id } = await zk.whenConnected({ timeoutMs: 30_000 });
        return (await ephemeralsOf(onlooker, path, id)).length;
      };
      await until(`${life.owns} nodes`, async () => (await owned()) === life.owns);
      const session = zk.session?.id ?? 0n;
      phases.length = 0;
      await link.set({ ...passing, state: 'stall' });
      await until('the loss', () => phases.includes('lost'));
      await link.set(passing);
      await life.works(recipe);
      await until(`${life.owns} nodes again`, async () => (await owned()) === life.owns);
      await leavesNothing(onlooker, path, [session]);
      await recipe.close();
      await leavesNothing(onlooker, path, [(await zk.whenConnected()).id]);
    });
  });
}
