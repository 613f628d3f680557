import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createBullyElection } from './bully-election.ts';
import type { Election, ElectionHost } from './election.ts';
import { Fence } from './simulation/fence.ts';
import { Timeline } from './simulation/timeline.ts';
import { MemoryNetwork } from './testing/memory-network.ts';
import type { ClaimCause } from './types.ts';
import { defaultElectionLimits, electionLimitIssues } from './types.ts';
import type { Role } from './views.ts';

const leaseMs = 400;

/** Elections of one group over a network, a clock and a fence in memory. */
class Group {
  readonly network = new MemoryNetwork();
  readonly clock = new Timeline();
  readonly fence = new Fence(leaseMs);
  readonly seen: string[] = [];

  node(nodeId: number, all: number[], host: Partial<ElectionHost> = {}): Election {
    return createBullyElection({
      nodeId,
      peers: all.filter((id) => id !== nodeId),
      transport: this.network.transport(nodeId),
      scheduler: this.clock,
      host: {
        claim: async () => this.fence.claim(nodeId, this.clock.now),
        release: async (epoch) => {
          this.fence.release(epoch);
        },
        stepDown: (epoch) => {
          this.seen.push(`${nodeId} steps down from ${epoch}`);
        },
        onRole: (role, cause) => {
          this.seen.push(`${nodeId} ${describeRole(role, cause)}`);
        },
        ...host,
      },
    });
  }

  /** Lets time pass in small steps, and settles all promises in between. */
  async pass(durationMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 10) {
      this.clock.run(10);
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
  }
}

function describeRole(role: Role, cause?: ClaimCause): string {
  if (role.role === 'coordinator') return `leads ${role.epoch} (${cause})`;
  return role.role === 'follower' ? `follows ${role.coordinator} in ${role.epoch}` : role.role;
}

async function startAll(group: Group, elections: Election[]): Promise<void> {
  for (const election of elections) {
    await election.start();
    election.setFit(true);
  }
  await group.pass(2000);
}

describe('the driver', () => {
  it('the highest node wins; failover takes under 0.5 s and reports each role once', async () => {
    const group = new Group();
    const ids = [1, 2, 3];
    const elections = ids.map((id) => group.node(id, ids));
    await startAll(group, elections);
    assert.deepEqual(
      elections.map((election) => election.snapshot().coordinator),
      ids.map(() => ({ node: 3, epoch: 1 })),
    );
    group.seen.length = 0;
    // A process dies: its links close, and its database session ends.
    group.network.cut(3, 1);
    group.network.cut(3, 2);
    group.fence.release(1);
    await group.pass(500);
    const others = group.seen.filter((line) => !line.startsWith('3 '));
    assert.deepEqual(others.toSorted(), [
      '1 electing',
      '1 follows 2 in 2',
      '2 electing',
      '2 leads 2 (failover)',
    ]);
    assert.deepEqual(elections[1]?.snapshot().won, { first: 0, failover: 1, preempt: 0, yield: 0 });
    assert.deepEqual(elections[1]?.snapshot().peers, [
      { nodeId: 1, connected: true, fit: true },
      { nodeId: 3, connected: false, fit: false },
    ]);
  });

  it('a deposed node steps down before it reports that it follows', async () => {
    const group = new Group();
    const election = group.node(2, [1, 2]);
    await startAll(group, [election]);
    group.seen.length = 0;
    election.deposed({ holder: 1, epoch: 7 });
    assert.deepEqual(group.seen, ['2 steps down from 1', '2 follows 1 in 7']);
  });

  it('a stopped coordinator finishes, releases, names its successor, then leaves', async () => {
    const group = new Group();
    const batch = Promise.withResolvers<undefined>();
    const release = async (epoch: number) => {
      await batch.promise;
      group.seen.push(`2 has released ${epoch}`);
      group.fence.release(epoch);
    };
    const elections = [group.node(1, [1, 2]), group.node(2, [1, 2], { release })];
    await startAll(group, elections);
    group.seen.length = 0;
    const stopped = elections[1]?.stop();
    assert.equal(stopped, elections[1]?.stop());
    await group.pass(100);
    assert.equal(elections[1]?.snapshot().role, 'coordinator');
    batch.resolve(undefined);
    await stopped;
    await group.pass(100);
    assert.deepEqual(group.seen, ['2 has released 1', '2 stopped', '1 electing', '1 leads 2 (yield)']);
  });

  it('an election stops although the release never ends', async () => {
    const group = new Group();
    const election = group.node(1, [1], { release: () => new Promise(() => undefined) });
    await startAll(group, [election]);
    const stopped = election.stop();
    await group.pass(defaultElectionLimits.releaseTimeoutMs + 10);
    await stopped;
    assert.deepEqual(group.seen.slice(-2), ['1 steps down from 1', '1 stopped']);
  });

  it('a claim that throws counts as failed, is logged and is repeated', async () => {
    const group = new Group();
    const events: string[] = [];
    let calls = 0;
    const election = group.node(1, [1], {
      claim: async () => {
        calls += 1;
        if (calls === 1) throw new Error('connection refused');
        return group.fence.claim(1, group.clock.now);
      },
      log: { info: ({ event }) => events.push(event) },
    });
    await startAll(group, [election]);
    assert.equal(election.snapshot().role, 'coordinator');
    assert.deepEqual(events.slice(0, 3), ['election.claim_failed', 'election.claim', 'election.claim']);
  });

  it('an event that a callback causes waits for the present one', async () => {
    const group = new Group();
    const roles: string[] = [];
    const election: Election = group.node(1, [1], {
      onRole: (role) => {
        roles.push(`${role.role} begins`);
        if (role.role === 'coordinator') election.deposed({ holder: null, epoch: 5 });
        roles.push(`${role.role} ends`);
      },
    });
    await startAll(group, [election]);
    const nested = roles.some(
      (line, index) => line.endsWith('begins') && !roles[index + 1]?.endsWith('ends'),
    );
    assert.equal(nested, false, roles.join(', '));
  });

  it('bad limits and repeated node ids are refused, with all issues at once', () => {
    const issues = electionLimitIssues({ ...defaultElectionLimits, settleMs: 0, electionTimeoutMs: 9000 });
    assert.equal(issues.length, 2);
    assert.deepEqual(electionLimitIssues(defaultElectionLimits), []);
    assert.throws(() => new Group().node(1, [1, 2, 2]), /distinct/);
  });
});
