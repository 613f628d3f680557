/** Runs the election by queue (`queue.ts`) behind the interface of every election. */
import { DrivenElection } from './driver.ts';
import type { Election, ElectionHost } from './election.ts';
import type { LeaderSource } from './leader-source.ts';
import { initialQueueState, queueStep, type QueueEffect, type QueueEvent } from './queue.ts';
import { realScheduler, type Scheduler } from './transport.ts';
import { checkedLimits, type ElectionLimits, type HostEffect, type HostEvent, type NodeId } from './types.ts';

/** Options of {@link createQueueElection}. */
export interface QueueElectionOptions {
  nodeId: NodeId;
  /** The ids of all other nodes of the group: `snapshot` lists them. */
  peers: readonly NodeId[];
  source: LeaderSource;
  host: ElectionHost;
  /** This strategy uses only `claimRetryMs`, `releaseTimeoutMs` and `yieldHoldMs`. */
  limits?: Partial<ElectionLimits>;
  scheduler?: Scheduler;
}

type OwnEvent = Exclude<QueueEvent, HostEvent>;
type OwnEffect = Exclude<QueueEffect, HostEffect>;

/**
 * Creates an election in which the first of a queue coordinates once the fence has granted it an
 * epoch. A stopped election cannot be restarted.
 * @throws RangeError if the limits do not fit together, or the ids are not distinct
 */
export function createQueueElection(options: QueueElectionOptions): Election {
  const { nodeId, peers, source, host, scheduler = realScheduler } = options;
  const limits = checkedLimits(nodeId, peers, options.limits);
  return new DrivenElection(
    {
      initial: initialQueueState(nodeId, limits),
      step: queueStep,
      open: (dispatch: (event: OwnEvent) => void) =>
        source.start({
          onFirst: (first) => {
            host.log?.info({ event: 'election.queue', first });
            dispatch({ type: 'first', first });
          },
          onGroup: (others) => {
            dispatch({ type: 'group', others });
          },
          onReleased: (epoch) => {
            dispatch({ type: 'epochReleased', epoch });
          },
          onReachable: (reachable, reason) => {
            host.log?.info({
              event: reachable ? 'election.source_reached' : 'election.source_unreachable',
              reason,
            });
          },
          onError: (error) => {
            host.log?.info({ event: 'election.source_failed', err: error });
          },
        }),
      close: () => source.stop(),
      carryOut: (effect: OwnEffect) => {
        switch (effect.type) {
          case 'publish':
            return source.publish(effect.status);
          case 'announceRelease':
            return source.announceRelease(effect.epoch);
          case 'setCandidate':
            return source.setCandidate(effect.candidate);
          case 'requeue':
            return source.requeue();
        }
      },
      peers: (state) =>
        peers.map((peer) => ({
          nodeId: peer,
          connected: state.others[peer] !== undefined,
          fit: state.others[peer]?.fit === true,
        })),
    },
    host,
    scheduler,
  );
}
