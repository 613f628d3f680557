/**
 * The test suite of every {@link LeaderSource}, the one in memory included.
 * `leaderSourceConformance` declares it for one implementation.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { until } from '@thermomesh/testing';
import type { MemberStatus, LeaderSource } from '../leader-source.ts';
import type { NodeId } from '../types.ts';

/** The service under test, with nodes 1 to 3. */
export interface SourceHarness {
  /**
   * Returns an unstarted source of that node. A second call for the same id returns the source of
   * its next life.
   */
  source(id: NodeId): LeaderSource | Promise<LeaderSource>;
  /**
   * Stops all traffic between the node and the service until `heal`. The node's session ends
   * meanwhile.
   */
  cut(id: NodeId): void | Promise<void>;
  heal(id: NodeId): void | Promise<void>;
  close(): void | Promise<void>;
}

const fitStatus: MemberStatus = { fit: true, leads: null };

/** Declares the suite. `open` makes a new harness for each test. */
export function leaderSourceConformance(
  name: string,
  open: () => SourceHarness | Promise<SourceHarness>,
): void {
  describe(`${name} as a LeaderSource`, () => {
    let harness: SourceHarness;
    let log: string[] = [];
    let started: Member[] = [];
    beforeEach(async () => {
      harness = await open();
      log = [];
      started = [];
    });
    afterEach(async () => {
      for (const member of started) await member.source.stop();
      await harness.close();
      assert.deepEqual(
        started.flatMap((member) => member.violations),
        [],
      );
    });

    async function join(id: NodeId): Promise<Member> {
      const member = await Member.start(id, await harness.source(id), log);
      started.push(member);
      return member;
    }

    /** Starts these nodes as fit candidates, in this order. */
    async function queue(...ids: NodeId[]): Promise<[Member, Member, ...Member[]]> {
      const members: Member[] = [];
      for (const id of ids) {
        const member = await join(id);
        member.source.setCandidate(true);
        member.source.publish(fitStatus);
        const before = members[0];
        if (before === undefined) await until('the first', () => member.first);
        else await until(`${id} in the group`, () => before.group[id] !== undefined);
        members.push(member);
      }
      const [one, two, ...rest] = members;
      assert.ok(one && two);
      return [one, two, ...rest];
    }

    it('when the first candidate leaves or stops, the next one is first', async () => {
      const [one, two, three] = await queue(1, 2, 3);
      assert.ok(three);
      assert.deepEqual([one.first, two.first, three.first], [true, false, false]);
      one.source.setCandidate(false);
      await until('the second', () => two.first);
      await two.stop();
      await until('the third', () => three.first);
      three.source.setCandidate(false);
      one.source.setCandidate(true);
      await until('the first, again', () => one.first && log.at(-1) === '1 first');
      // A node that leaves by itself gets no report.
      assert.deepEqual(log, ['1 first', '2 first', '3 first', '1 first']);
    });

    it('a node that is no candidate is never first, but sees the group', async () => {
      const onlooker = await join(3);
      const [one] = await queue(1, 2);
      await until('the group', () => onlooker.group[1]?.fit === true && onlooker.group[2]?.fit === true);
      one.source.setCandidate(false);
      await until('the second', () => log.includes('2 first'));
      assert.equal(onlooker.first, false);
    });

    it('a candidate that requeues is first after the others, or at once if alone', async () => {
      const [one, two] = await queue(1, 2);
      one.source.requeue();
      one.first = false;
      await until('the second', () => two.first);
      two.source.requeue();
      two.first = false;
      await until('the first', () => one.first);
      await two.stop();
      one.source.requeue();
      one.first = false;
      await until('the only one', () => one.first);
    });

    it('each member sees the latest status of the others until they stop', async () => {
      const [one, two] = await queue(1, 2);
      const status: MemberStatus = { fit: false, leads: 7 };
      one.source.publish({ ...status, leads: 6 });
      one.source.publish(status);
      await until('the status', () => two.group[1]?.leads === 7);
      assert.deepEqual(two.group[1], status);
      assert.equal(two.group[2], undefined);
      await one.stop();
      await until('the end of its status', () => two.group[1] === undefined);
    });

    it('the next candidate knows that the epoch was released gracefully', async () => {
      const [one, two] = await queue(1, 2);
      const known = new Promise<number>((resolve) => {
        two.onFirst = () => {
          resolve(two.released);
        };
      });
      one.source.publish(fitStatus);
      one.source.announceRelease(4);
      await one.stop();
      assert.equal(await known, 4);
    });

    it('a node that is cut off loses the first place before the next one gains it', async () => {
      const [one, two] = await queue(1, 2);
      one.source.publish({ ...fitStatus, leads: 1 });
      await until('the status', () => two.group[1]?.leads === 1);
      await harness.cut(1);
      await until('the second', () => two.first);
      assert.deepEqual(log, ['1 first', '1 not first', '2 first']);
      await until(
        'both groups without the other',
        () => two.group[1] === undefined && one.group[2] === undefined,
      );
      assert.equal(one.reachable, false);
      one.source.publish({ ...fitStatus, leads: 8 });
      await harness.heal(1);
      await until('the return', () => two.group[1]?.leads === 8 && one.group[2] !== undefined);
      assert.equal(one.reachable, true);
      await two.stop();
      await until('the first, again', () => one.first);
    });

    it('a source starts without the service, and joins when it is back', async () => {
      await harness.cut(1);
      const one = await join(1);
      one.source.setCandidate(true);
      one.source.publish(fitStatus);
      await until('the report that the service is unreachable', () => one.reachable === false);
      await harness.heal(1);
      await until('the first', () => one.first);
    });

    it('a source stops although the service is away', async () => {
      const [one] = await queue(1, 2);
      await harness.cut(1);
      await one.stop();
      await one.source.stop();
    });

    it('a restarted node queues at the end, and its new status replaces the old one', async () => {
      const [one, two] = await queue(1, 2);
      await one.stop();
      const again = await join(1);
      again.source.setCandidate(true);
      again.source.publish({ ...fitStatus, leads: 9 });
      await until('the status of the new life', () => two.first && two.group[1]?.leads === 9);
      assert.equal(again.first, false);
    });
  });
}

/** Records what a source reports, and every report that breaks the rules of the port. */
class Member {
  readonly id: NodeId;
  readonly source: LeaderSource;
  readonly violations: string[] = [];
  first = false;
  group: Readonly<Record<NodeId, MemberStatus>> = {};
  released = 0;
  reachable: boolean | undefined;
  onFirst: () => void = () => undefined;
  #stopped = false;

  constructor(id: NodeId, source: LeaderSource) {
    this.id = id;
    this.source = source;
  }

  static async start(id: NodeId, source: LeaderSource, log: string[]): Promise<Member> {
    const member = new Member(id, source);
    let inside = true;
    const heard = (what: string) => {
      if (inside) member.violations.push(`${id}: ${what} from within start`);
      if (member.#stopped) member.violations.push(`${id}: ${what} after stop`);
    };
    const starting = source.start({
      onFirst: (first) => {
        heard('onFirst');
        log.push(`${id} ${first ? 'first' : 'not first'}`);
        member.first = first;
        if (first) member.onFirst();
      },
      onGroup: (others) => {
        heard('onGroup');
        member.group = others;
      },
      onReleased: (epoch) => {
        heard('onReleased');
        member.released = epoch;
      },
      onReachable: (reachable) => {
        heard('onReachable');
        member.reachable = reachable;
      },
      onError: (error) => {
        member.violations.push(`${id}: ${String(error)}`);
      },
    });
    inside = false;
    await starting;
    return member;
  }

  async stop(): Promise<void> {
    await this.source.stop();
    this.#stopped = true;
    this.first = false;
  }
}
