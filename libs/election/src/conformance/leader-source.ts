/**
 * What every {@link LeaderSource} must do, the fake one of the tests included: `leaderSourceConformance` declares the suite for one
 * implementation.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { GroupWord, LeaderSource } from '../leader-source.ts';
import type { NodeId } from '../types.ts';
import { until } from './peer-transport.ts';

/** One service under test, with nodes 1..3. */
export interface SourceHarness {
  /** A source of that node that has not been started; asked again for the same id, that of its next life. */
  source(id: NodeId): LeaderSource | Promise<LeaderSource>;
  /** Lets nothing pass between the node and the service, until the node's session is over and after. */
  cut(id: NodeId): void | Promise<void>;
  heal(id: NodeId): void | Promise<void>;
  close(): void | Promise<void>;
}

const fitWord: GroupWord = { fit: true, leads: null };

/** Declares the suite. `open` makes a fresh harness for each test. */
export function leaderSourceConformance(
  name: string,
  open: () => SourceHarness | Promise<SourceHarness>,
): void {
  describe(`${name} as a LeaderSource`, () => {
    let harness: SourceHarness;
    let log: string[] = [];
    let started: Seat[] = [];
    beforeEach(async () => {
      harness = await open();
      log = [];
      started = [];
    });
    afterEach(async () => {
      for (const seat of started) await seat.source.stop();
      await harness.close();
      assert.deepEqual(
        started.flatMap((seat) => seat.faults),
        [],
      );
    });

    async function join(id: NodeId): Promise<Seat> {
      const seat = await Seat.start(id, await harness.source(id), log);
      started.push(seat);
      return seat;
    }

    /** In this order in the queue. */
    async function queue(...ids: NodeId[]): Promise<[Seat, Seat, ...Seat[]]> {
      const seats: Seat[] = [];
      for (const id of ids) {
        const seat = await join(id);
        seat.source.stand(true);
        seat.source.say(fitWord);
        const before = seats[0];
        if (before === undefined) await until(() => seat.first, 'the first');
        else await until(() => before.group[id] !== undefined, `${id} in the group`);
        seats.push(seat);
      }
      const [one, two, ...rest] = seats;
      assert.ok(one && two);
      return [one, two, ...rest];
    }

    it('one is first, and when it leaves the queue or stops, the next one is, until nobody stands', async () => {
      const [one, two, three] = await queue(1, 2, 3);
      assert.ok(three);
      assert.deepEqual([one.first, two.first, three.first], [true, false, false]);
      one.source.stand(false);
      await until(() => two.first, 'the second');
      await two.stop();
      await until(() => three.first, 'the third');
      three.source.stand(false);
      one.source.stand(true);
      await until(() => one.first && log.at(-1) === '1 first', 'the first, again');
      // Who leaves knows it: it is not told.
      assert.deepEqual(log, ['1 first', '2 first', '3 first', '1 first']);
    });

    it('a node that does not stand is never first, and hears of the group all the same', async () => {
      const looker = await join(3);
      const [one] = await queue(1, 2);
      await until(() => looker.group[1]?.fit === true && looker.group[2]?.fit === true, 'the group');
      one.source.stand(false);
      await until(() => log.includes('2 first'), 'the second');
      assert.equal(looker.first, false);
    });

    it('whoever goes to the end is first only after the others, and at once if it stands alone', async () => {
      const [one, two] = await queue(1, 2);
      one.source.requeue();
      one.first = false;
      await until(() => two.first, 'the second');
      two.source.requeue();
      two.first = false;
      await until(() => one.first, 'the first');
      await two.stop();
      one.source.requeue();
      one.first = false;
      await until(() => one.first, 'the only one');
    });

    it('tells everybody the latest word of everybody else, and forgets who stops', async () => {
      const [one, two] = await queue(1, 2);
      const word: GroupWord = { fit: false, leads: 7 };
      one.source.say({ ...word, leads: 6 });
      one.source.say(word);
      await until(() => two.group[1]?.leads === 7, 'the word');
      assert.deepEqual(two.group[1], word);
      assert.equal(two.group[2], undefined);
      await one.stop();
      await until(() => two.group[1] === undefined, 'its end');
    });

    it('whoever comes next knows that the epoch was given back in order', async () => {
      const [one, two] = await queue(1, 2);
      const known = new Promise<number>((resolve) => {
        two.onFirst = () => {
          resolve(two.givenBack);
        };
      });
      one.source.say(fitWord);
      one.source.giveBack(4);
      await one.stop();
      assert.equal(await known, 4);
    });

    it('a node that is cut off learns that it is not first before the next one is, and comes back behind', async () => {
      const [one, two] = await queue(1, 2);
      one.source.say({ ...fitWord, leads: 1 });
      await until(() => two.group[1]?.leads === 1, 'the word');
      await harness.cut(1);
      await until(() => two.first, 'the second');
      assert.deepEqual(log, ['1 first', '1 not first', '2 first']);
      await until(
        () => two.group[1] === undefined && one.group[2] === undefined,
        'both groups without the other',
      );
      assert.equal(one.reachable, false);
      one.source.say({ ...fitWord, leads: 8 });
      await harness.heal(1);
      await until(() => two.group[1]?.leads === 8 && one.group[2] !== undefined, 'the return');
      assert.equal(one.reachable, true);
      await two.stop();
      await until(() => one.first, 'the first, again');
    });

    it('starts although the service is away, and joins when it is back', async () => {
      await harness.cut(1);
      const one = await join(1);
      one.source.stand(true);
      one.source.say(fitWord);
      await until(() => one.reachable === false, 'the news that nothing is reached');
      await harness.heal(1);
      await until(() => one.first, 'the first');
    });

    it('stops although the service is away', async () => {
      const [one] = await queue(1, 2);
      await harness.cut(1);
      await one.stop();
      await one.source.stop();
    });

    it('a restarted node comes back behind, and its new word replaces the old one', async () => {
      const [one, two] = await queue(1, 2);
      await one.stop();
      const again = await join(1);
      again.source.stand(true);
      again.source.say({ ...fitWord, leads: 9 });
      await until(() => two.first && two.group[1]?.leads === 9, 'the new life');
      assert.equal(again.first, false);
    });
  });
}

/** Writes down what a source reports, and what it should not have reported. */
class Seat {
  readonly id: NodeId;
  readonly source: LeaderSource;
  readonly faults: string[] = [];
  first = false;
  group: Readonly<Record<NodeId, GroupWord>> = {};
  givenBack = 0;
  reachable: boolean | undefined;
  onFirst: () => void = () => undefined;
  #stopped = false;

  private constructor(id: NodeId, source: LeaderSource) {
    this.id = id;
    this.source = source;
  }

  static async start(id: NodeId, source: LeaderSource, log: string[]): Promise<Seat> {
    const seat = new Seat(id, source);
    let inside = true;
    const heard = (what: string) => {
      if (inside) seat.faults.push(`${id}: ${what} from within start`);
      if (seat.#stopped) seat.faults.push(`${id}: ${what} after stop`);
    };
    const starting = source.start({
      onFirst: (first) => {
        heard('onFirst');
        log.push(`${id} ${first ? 'first' : 'not first'}`);
        seat.first = first;
        if (first) seat.onFirst();
      },
      onGroup: (others) => {
        heard('onGroup');
        seat.group = others;
      },
      onGivenBack: (epoch) => {
        heard('onGivenBack');
        seat.givenBack = epoch;
      },
      onReachable: (reachable) => {
        heard('onReachable');
        seat.reachable = reachable;
      },
      onFault: (error) => {
        seat.faults.push(`${id}: ${String(error)}`);
      },
    });
    inside = false;
    await starting;
    return seat;
  }

  async stop(): Promise<void> {
    await this.source.stop();
    this.#stopped = true;
    this.first = false;
  }
}
