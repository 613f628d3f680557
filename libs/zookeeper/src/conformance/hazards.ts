/** What may happen to the clients of one server as of several, named by the hazard. */
import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import type { TestEnsemble } from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { join } from '../client/paths.ts';
import { LeaderElection } from '../recipes/election/leader-election.ts';
import { Lock } from '../recipes/locks/lock.ts';
import { endingSessionMs, type TestClients } from '../testing/clients.ts';
import { interpose } from '../testing/interpose.ts';
import type { LeaderNews } from '../testing/leader-child.ts';
import { leaderOf, namesIn, statOf } from '../testing/looks.ts';
import { olderServer } from '../testing/older-server.ts';

export interface Servers {
  ensemble: TestEnsemble;
  clients: TestClients;
}

/** Far more writes than the older server can make up for by its own ones (ends of sessions). */
const writesAhead = 200;
const timeoutMs = 60_000;
const acquireTimeoutMs = 15_000;
/** Far more calls than one acquisition makes. */
const cutsMax = 25;
let places = 0;
const freshPath = () => `/hazards/h${(places += 1)}`;

/** @param servers makes the servers of the suite; called when a test runs */
export function hazards(name: string, servers: () => Servers): void {
  const { connect, connectThroughLink } = {
    connect: async (options = {}) => servers().clients.connect(options),
    connectThroughLink: async (options = {}) => servers().clients.connectThroughLink(options),
  };
  deadServers(name, servers);
  stoppedLeaders(name, servers);

  describe(`${name}: a predecessor`, () => {
    it('a predecessor that vanishes between list and watch is not waited for', async () => {
      const path = freshPath();
      const zk = await connect();
      const first = await new Lock(await connect(), path).start().acquire();
      let vanished = 0;
      const end = interpose(zk, async (call, _index, node) => {
        if (call !== 'exists' || node !== first.path) return;
        vanished += 1;
        await first.release();
        await zk.sync(path);
      });
      const lease = await new Lock(zk, path).start().acquire({ timeoutMs: acquireTimeoutMs });
      end();
      assert.deepEqual([lease.held, vanished], [true, 1]);
    });
  });

  describe(`${name}: a watch`, () => {
    it('a watch on a node that vanishes before the re-read waits for its return', async () => {
      const path = freshPath();
      const zk = await connect();
      const other = await connect();
      await other.ensurePath(path);
      await zk.sync(path);
      await using watch = zk.watchData(path);
      await watch.first();
      let vanished = false;
      const end = interpose(zk, async (call) => {
        if (call !== 'getData' || vanished) return;
        vanished = true;
        await other.delete(path);
        await zk.sync(path);
      });
      await other.setData(path, Buffer.from('short-lived'));
      await until('the end of the node', () => vanished && watch.current?.value === undefined);
      end();
      await other.create(path, Buffer.from('back'));
      await until('the return', () => watch.current?.value?.data.toString() === 'back');
    });
  });

  describe(`${name}: a connection`, () => {
    it('a cut between any two calls of an acquisition costs neither ticket nor turn', async (t) => {
      const path = freshPath();
      const other = await connect();
      const { zk, link } = await connectThroughLink();
      const turns = new Lock(other, path).start();
      let cuts = 0;
      for (let isCut = true; isCut; cuts += 1) {
        assert.ok(cuts < cutsMax, `an acquisition makes no more than ${cutsMax} calls`);
        isCut = false;
        const holder = await turns.acquire({ timeoutMs: acquireTimeoutMs });
        const end = interpose(zk, async (_call, index) => {
          if (index !== cuts) return;
          isCut = true;
          await link.set({ ...passing, state: 'cut' });
          await until('the cut', () => zk.phase !== 'connected');
          await link.set(passing);
        });
        const lock = new Lock(zk, path).start();
        const acquiring = lock.acquire({ timeoutMs: acquireTimeoutMs });
        await until('the ticket', async () => (await namesIn(other, path)).length === 2);
        await holder.release();
        const lease = await acquiring;
        end();
        assert.equal((await namesIn(other, path)).length, 1);
        await until('the confirmation', () => lease.held);
        assert.equal((await statOf(other, lease.path))?.czxid, lease.epoch);
        await lock.close();
      }
      t.diagnostic(`${cuts - 1} cuts`);
      assert.ok(cuts > 5);
    });
  });

  describe(`${name}: two elections`, () => {
    it('two elections of the same clients do not mix: a death moves only its own one', async () => {
      const paths = [freshPath(), freshPath()];
      const { zk, link } = await connectThroughLink({ sessionTimeoutMs: endingSessionMs });
      const other = await connect();
      const [red, blue] = paths.map((path) =>
        [zk, other].map((client, index) => new LeaderElection(client, { path, id: `n${index}` })),
      ) as [LeaderElection[], LeaderElection[]];
      const [redDying, redNext, blueNext, blueLeader] = [red[0], red[1], blue[0], blue[1]];
      assert.ok(redDying && redNext && blueNext && blueLeader);
      redDying.start();
      blueLeader.start();
      await until('a leader each', () => redDying.leads && blueLeader.leads);
      redNext.start();
      blueNext.start();
      await until('the standby', async () => (await blueLeader.candidates()).length === 2);
      const [dying, kept] = [redDying.lease, blueLeader.lease];
      await link.set({ ...passing, state: 'stall' });
      await until('the successor', () => redNext.leads);
      assert.equal(redDying.leads, false);
      assert.ok((redNext.lease?.epoch ?? 0n) > (dying?.epoch ?? 0n));
      assert.deepEqual([blueLeader.lease, kept?.signal.aborted], [kept, false]);
      await link.set(passing);
      const order = async (election: LeaderElection) => (await election.candidates()).map(({ id }) => id);
      await until('the dead one to stand behind', async () => (await order(redNext)).join() === 'n1,n0');
      await until('as it was', async () => (await order(blueLeader)).join() === 'n1,n0');
      await Promise.all([...red, ...blue].map(async (election) => election.close()));
    });
  });

  describe(`${name}: a clock that jumps`, () => {
    it('a clock that jumps neither ends nor prolongs a lease: only elapsed time counts', async (t) => {
      const zk = await connect();
      const lease = await new Lock(zk, freshPath()).start().acquire();
      t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3_600_000 });
      await zk.sync('/');
      assert.ok(lease.held);
      t.mock.timers.setTime(0);
      await zk.sync('/');
      assert.ok(lease.held);
      t.mock.timers.reset();
    });

    it('two thirds of the session without an answer end the right to act', async () => {
      let nowMs = 0;
      const zk = await connect({ sessionTimeoutMs: 15_000, nowMs: () => nowMs });
      const lease = await new Lock(zk, freshPath()).start().acquire();
      nowMs = 9_999;
      assert.ok(lease.held);
      nowMs = 10_000;
      assert.equal(lease.held, false);
    });
  });

  describe(`${name}: a server out of an older copy`, () => {
    it('a server from an older backup is refused by a client that has seen more', async () => {
      const { ensemble } = servers();
      const [member] = ensemble.members;
      assert.ok(member);
      const older = await olderServer(member);
      try {
        await ensemble.untilServing();
        const path = freshPath();
        const { zk, link, phases } = await connectThroughLink({
          target: member.host,
          others: [older.host],
          sessionTimeoutMs: 500,
        });
        await zk.retry(async () => zk.ensurePath(path), { timeoutMs });
        const write = async (_: unknown, index: number) =>
          zk.retry(async () => zk.setData(path, Buffer.from(String(index))), { timeoutMs });
        await Promise.all(Array.from({ length: writesAhead }, write));
        phases.length = 0;
        await link.set({ ...passing, state: 'cut' });
        await until('the loss', () => phases.includes('lost'));
        const before = older.refusals();
        await until('the refusal', () => zk.phase === 'connected' || older.refusals() > before + 1);
        assert.notEqual(zk.phase, 'connected');
        await link.set(passing);
        await zk.whenConnected({ timeoutMs });
        assert.ok((await zk.getData(path)).stat.version >= writesAhead);
      } finally {
        await older.remove();
      }
    });
  });
}

function deadServers(name: string, servers: () => Servers): void {
  describe(`${name}: a server that dies with a create unanswered`, () => {
    for (const [what, direction] of [
      ['done', 'backward'],
      ['not arrived', 'forward'],
    ] as const) {
      it(`a server dies with a create ${what}: there is one ticket, and it leads`, async () => {
        const { ensemble, clients } = servers();
        const path = freshPath();
        const victim = await leaderOf(ensemble);
        const others = ensemble.members.filter((member) => member !== victim).map(({ host }) => host);
        const onlooker = await clients.connect({ hosts: [...others, victim.host].join() });
        await onlooker.ensurePath(path);
        const { zk, link } = await clients.connectThroughLink({ target: victim.host, others });
        await link.set({ ...passing, state: 'stall', direction });
        const election = new LeaderElection(zk, { path, id: 'only' }).start();
        // Proof that the test hits the hazard: the request was sent and has no answer, and it is
        // done or not done.
        const tickets = direction === 'backward' ? 1 : 0;
        await until('the create', async () => (await namesIn(onlooker, path)).length === tickets);
        await until('the request', () => zk.requestsInFlight === 1);
        const [ticket] = await namesIn(onlooker, path);
        const drawn = ticket === undefined ? undefined : await statOf(onlooker, join(path, ticket));
        const { session } = zk;
        assert.equal(zk.requestsInFlight, 1);
        await victim.kill();
        // What the dead server had sent already is lost with the link.
        await link.set({ ...passing, state: 'cut' });
        await link.set(passing);
        await victim.restart();
        await until('the leader', () => election.leads);
        await until('one ticket', async () => (await namesIn(onlooker, path)).length === 1);
        // A machine that stalls for long enough ends the session, and the ticket with it.
        if (drawn !== undefined && zk.session === session) assert.equal(election.lease?.epoch, drawn.czxid);
        await ensemble.untilServing();
        await election.close();
      });
    }
  });
}

function stoppedLeaders(name: string, servers: () => Servers): void {
  describe(`${name}: a leader that is stopped until its session is over`, () => {
    it('a leader stopped past its session wakes deposed and acts no more', async () => {
      const { ensemble, clients } = servers();
      const path = freshPath();
      const news: { id: string; type: LeaderNews['type']; epoch: bigint }[] = [];
      const children: ChildProcess[] = [];
      const begin = (id: string) => {
        const child = fork(new URL('../testing/leader-child.ts', import.meta.url), [
          ensemble.hosts,
          path,
          id,
        ]);
        child.on('message', ({ type, epoch }: LeaderNews) => news.push({ id, type, epoch: BigInt(epoch) }));
        children.push(child);
        return child;
      };
      const told = (id: string, type: LeaderNews['type']) =>
        news.filter((each) => each.id === id && each.type === type);
      try {
        const first = begin('first');
        await until('the first to act', () => told('first', 'act').length > 2);
        begin('second');
        const zk = await clients.connect();
        await until('the standby', async () => (await namesIn(zk, path)).length === 2);
        first.kill('SIGSTOP');
        await until('the second to act', () => (told('second', 'act').at(-1)?.epoch ?? 0n) > lastEpoch());
        const stoppedIn = lastEpoch();
        const acts = told('first', 'act').length;
        first.kill('SIGCONT');
        const isOver = ({ epoch }: { epoch: bigint }) => epoch === stoppedIn;
        await until('the first to know', () => told('first', 'deposed').some(isOver));
        // Whatever it does later, it does under a new epoch of its own.
        assert.ok(
          told('first', 'act')
            .slice(acts)
            .every(({ epoch }) => epoch > stoppedIn),
        );
      } finally {
        for (const child of children) {
          child.kill('SIGKILL');
          if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
        }
      }
      function lastEpoch(): bigint {
        return told('first', 'act').at(-1)?.epoch ?? 0n;
      }
    });
  });
}
