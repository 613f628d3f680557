import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Election, ElectionHost } from './election.ts';
import { createQueueElection } from './queue-election.ts';
import { initialQueueState, queueStep, type QueueEvent } from './queue.ts';
import { Fence } from './simulation/fence.ts';
import { Timeline } from './simulation/timeline.ts';
import { MemoryQueue } from './testing/memory-queue.ts';
import { defaultElectionLimits } from './types.ts';

const leaseMs = 400;
const limits = defaultElectionLimits;

/** Elections of one group over a queue, a clock and a fence in memory. */
class Group {
  readonly queue = new MemoryQueue();
  readonly clock = new Timeline();
  readonly fence = new Fence(leaseMs);
  readonly seen: string[] = [];
  readonly ids = [1, 2, 3];

  node(nodeId: number, host: Partial<ElectionHost> = {}): Election {
    return createQueueElection({
      nodeId,
      peers: this.ids.filter((id) => id !== nodeId),
      source: this.queue.source(nodeId),
      scheduler: this.clock,
      host: {
        claim: async () => this.fence.claim(nodeId, this.clock.now),
        release: async (epoch) => {
          this.seen.push(`${nodeId} releases ${epoch}`);
          this.fence.release(epoch);
        },
        // The database session ends, and the lease with it.
        stepDown: (epoch) => {
          this.seen.push(`${nodeId} steps down from ${epoch}`);
          this.fence.release(epoch);
        },
        onRole: (role, cause) => {
          if (role.role === 'coordinator') this.seen.push(`${nodeId} leads ${role.epoch} (${cause})`);
          else if (role.role === 'follower') this.seen.push(`${nodeId} follows ${role.coordinator}`);
          else this.seen.push(`${nodeId} ${role.role}`);
        },
        ...host,
      },
    });
  }

  /** Starts the three nodes, fit, in this order, and clears the record. */
  async three(host: Partial<ElectionHost> = {}): Promise<[Election, Election, Election]> {
    const elections = [this.node(1, host), this.node(2, host), this.node(3, host)] as const;
    for (const election of elections) {
      await election.start();
      election.setFit(true);
      await this.pass(10);
    }
    this.seen.length = 0;
    return [...elections];
  }

  /** Lets time pass in small steps, and settles all promises in between. */
  async pass(durationMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 10) {
      this.clock.run(10);
      for (let turn = 0; turn < 40; turn++) await Promise.resolve();
    }
  }
}

describe('the election by queue', () => {
  it('the first in the queue leads, and every node knows it', async () => {
    const group = new Group();
    const elections = await group.three();
    for (const election of elections) {
      assert.deepEqual(election.snapshot().coordinator, { node: 1, epoch: 1 });
    }
    assert.deepEqual(elections[0].snapshot().won, { first: 1, failover: 0, preempt: 0, yield: 0 });
    assert.deepEqual(elections[2].snapshot().peers, [
      { nodeId: 1, connected: true, fit: true },
      { nodeId: 2, connected: true, fit: true },
    ]);
  });

  it('after a coordinator dies, the next in the queue waits for the fence and leads', async () => {
    const group = new Group();
    const [, two, three] = await group.three();
    group.queue.cut(1);
    group.seen.length = 0;
    await group.pass(leaseMs + 2 * limits.claimRetryMs);
    assert.deepEqual(two.snapshot().coordinator, { node: 2, epoch: 2 });
    assert.deepEqual(three.snapshot().coordinator, { node: 2, epoch: 2 });
    assert.ok(group.seen.includes('2 leads 2 (failover)'), group.seen.join(', '));
  });

  it('a returning node does not take the title back', async () => {
    const group = new Group();
    const [one] = await group.three();
    group.queue.cut(1);
    await group.pass(1000);
    group.queue.heal(1);
    await group.pass(2 * limits.preemptHoldMs);
    assert.deepEqual(one.snapshot().coordinator, { node: 2, epoch: 2 });
    assert.deepEqual(group.queue.candidates, [2, 3, 1]);
  });

  it('a suspended coordinator stops at once, and claims again when it is confirmed', async () => {
    const group = new Group();
    const [one] = await group.three();
    group.queue.suspend(1);
    await group.pass(10);
    assert.deepEqual(group.seen, ['1 steps down from 1', '1 electing']);
    assert.equal(one.snapshot().role, 'electing');
    group.queue.heal(1);
    await group.pass(20);
    assert.deepEqual(group.seen.slice(-3), ['1 leads 2 (failover)', '2 follows 1', '3 follows 1']);
  });

  it('an epoch that is won after the first place is lost is given up at once', async () => {
    const group = new Group();
    const answer = Promise.withResolvers<undefined>();
    const election = group.node(1, {
      claim: async () => {
        await answer.promise;
        return group.fence.claim(1, 0);
      },
    });
    await election.start();
    election.setFit(true);
    await group.pass(10);
    group.queue.suspend(1);
    await group.pass(10);
    answer.resolve(undefined);
    await group.pass(20);
    assert.deepEqual(group.seen, ['1 electing', '1 steps down from 1']);
    assert.equal(election.snapshot().won.first, 0);
  });

  it('a deposed coordinator steps down at once and goes to the end of the queue', async () => {
    const group = new Group();
    const [one] = await group.three();
    one.deposed({ holder: 9, epoch: 7 });
    assert.deepEqual(group.seen, ['1 steps down from 1', '1 follows 9']);
    await group.pass(10);
    assert.deepEqual(group.queue.candidates, [2, 3, 1]);
  });

  it('a stopped coordinator releases, and its successor takes over at once', async () => {
    const group = new Group();
    const [one, two] = await group.three();
    const stopped = one.stop();
    assert.equal(stopped, one.stop());
    await group.pass(30);
    await stopped;
    assert.deepEqual(group.seen.slice(0, 2), ['1 releases 1', '1 stopped']);
    assert.ok(group.seen.includes('2 leads 2 (yield)'), group.seen.join(', '));
    assert.equal(two.snapshot().won.yield, 1);
  });

  it('a queue election stops although the release never ends', async () => {
    const group = new Group();
    const [one] = await group.three({ release: () => new Promise(() => undefined) });
    const stopped = one.stop();
    await group.pass(limits.releaseTimeoutMs + 10);
    await stopped;
    assert.deepEqual(group.seen.slice(0, 2), ['1 steps down from 1', '1 stopped']);
  });

  it('an unfit coordinator yields to a fit node, and queues again once it is fit', async () => {
    const group = new Group();
    const [one, two, three] = await group.three();
    two.setFit(false);
    three.setFit(false);
    one.setFit(false);
    await group.pass(2 * limits.yieldHoldMs);
    assert.equal(one.snapshot().role, 'coordinator');
    three.setFit(true);
    await group.pass(limits.yieldHoldMs + 50);
    assert.deepEqual(one.snapshot().coordinator, { node: 3, epoch: 2 });
    assert.deepEqual(group.queue.candidates, [3]);
    one.setFit(true);
    await group.pass(10);
    assert.deepEqual(group.queue.candidates, [3, 1]);
  });

  it('a held epoch is followed and claimed again until the fence releases it', async () => {
    const group = new Group();
    // For example a coordinator that another strategy elected: no node in the queue knows it.
    group.fence.claim(9, 0);
    const one = group.node(1);
    await one.start();
    one.setFit(true);
    await group.pass(20);
    assert.deepEqual(one.snapshot().coordinator, { node: 9, epoch: 1 });
    await group.pass(leaseMs + 2 * limits.claimRetryMs);
    assert.deepEqual(one.snapshot().coordinator, { node: 1, epoch: 2 });
  });

  it('a release announced under a former database does not outrank a won epoch', () => {
    const led = (['start', 'first', 'epochReleased'] as const).reduce(
      (state, type) => {
        const events: Record<typeof type, QueueEvent> = {
          start: { type, fit: true } as QueueEvent,
          first: { type, first: true } as QueueEvent,
          epochReleased: { type, epoch: 50 } as QueueEvent,
        };
        return queueStep(state, events[type])[0];
      },
      initialQueueState(1, limits),
    );
    const [after, effects] = queueStep(led, { type: 'claimWon', epoch: 1 });
    assert.deepEqual(after.phase, { name: 'leading', epoch: 1, cause: 'first' });
    assert.ok(!effects.some(({ type }) => type === 'stepDown'));
  });

  it('a failed claim is repeated after a pause', async () => {
    const group = new Group();
    let calls = 0;
    const election = group.node(1, {
      claim: async () => {
        calls += 1;
        if (calls < 3) throw new Error('connection refused');
        return group.fence.claim(1, group.clock.now);
      },
    });
    await election.start();
    election.setFit(true);
    await group.pass(limits.claimRetryMs);
    assert.ok(calls <= 2, `${calls} claims`);
    await group.pass(2 * limits.claimRetryMs);
    assert.equal(election.snapshot().role, 'coordinator');
  });
});

describe('a step of the queue, whatever happens', () => {
  const epoch = fc.integer({ min: 1, max: 6 });
  const status = fc.record({ fit: fc.boolean(), leads: fc.option(epoch) });
  const event: fc.Arbitrary<QueueEvent> = fc.oneof(
    { weight: 4, arbitrary: fc.record({ type: fc.constant('first' as const), first: fc.boolean() }) },
    fc.record({
      type: fc.constant('group' as const),
      others: fc.dictionary(fc.constantFrom('2', '3'), status),
    }),
    fc.record({ type: fc.constant('epochReleased' as const), epoch }),
    fc.record({ type: fc.constant('timer' as const), timer: fc.constantFrom('retry', 'release', 'yield') }),
    { weight: 3, arbitrary: fc.record({ type: fc.constant('claimWon' as const), epoch }) },
    fc.record({ type: fc.constant('claimHeld' as const), holder: fc.constantFrom(1, 2, 9), epoch }),
    fc.constant({ type: 'claimFailed' as const }),
    fc.record({ type: fc.constant('deposed' as const), holder: fc.option(fc.constantFrom(1, 2)), epoch }),
    fc.record({ type: fc.constant('released' as const), epoch }),
    { weight: 2, arbitrary: fc.record({ type: fc.constant('fitnessChanged' as const), fit: fc.boolean() }) },
    fc.constant({ type: 'stop' as const }),
  );

  it('a node leads only while it is first, ends each term, and claims one at a time', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        let [state] = queueStep(initialQueueState(1, limits), { type: 'start', fit: true });
        let claims = 0;
        for (const next of events) {
          // The fence answers only a claim.
          const isAnswer = next.type.startsWith('claim');
          if (isAnswer && claims === 0) continue;
          if (isAnswer) claims -= 1;
          const before = state;
          const [after, effects] = queueStep(before, next);
          claims += effects.filter(({ type }) => type === 'claim').length;
          assert.ok(claims <= 1, 'two claims under way');
          assert.equal(
            after.claim !== null && after.phase.name !== 'stopped',
            claims === 1 && after.phase.name !== 'stopped',
          );
          assert.ok(after.epoch >= before.epoch, 'the epoch fell');
          const isTitled = (name: string) => name === 'leading' || name === 'releasing';
          if (isTitled(after.phase.name))
            assert.ok(after.first && after.candidate, 'leads without the first place');
          // Another member's status with a higher epoch ends a term, too.
          if ('epoch' in after.phase) assert.equal(after.phase.epoch, after.epoch, 'leads an old epoch');
          const stepsDown = effects.some(({ type }) => type === 'stepDown');
          const wasReleased = before.phase.name === 'releasing' && next.type === 'released';
          if (isTitled(before.phase.name) && !isTitled(after.phase.name)) {
            assert.ok(stepsDown || wasReleased, 'a term ended without step-down or release');
          }
          if (next.type === 'first' && !next.first && isTitled(before.phase.name)) {
            assert.equal(effects[0]?.type, 'stepDown');
          }
          state = after;
        }
      }),
      { numRuns: 2_000, verbose: true },
    );
  });
});
