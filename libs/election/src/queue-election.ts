/** The strategy by queue behind the interface of every election. */
import { DrivenElection } from './driver.ts';
import type { Election, ElectionHost } from './election.ts';
import type { LeaderSource } from './leader-source.ts';
import { initialQueueState, queueStep, type QueueEffect, type QueueEvent } from './queue.ts';
import { realScheduler, type Scheduler } from './transport.ts';
import { checkedLimits, type ElectionLimits, type HostEffect, type HostEvent, type NodeId } from './types.ts';

/** How {@link createQueueElection} is set up. */
export interface QueueElectionOptions {
  nodeId: NodeId;
  /** The ids of all other nodes of the group: `snapshot` lists them. */
  peers: readonly NodeId[];
  source: LeaderSource;
  host: ElectionHost;
  /** `claimRetryMs`, `releaseTimeoutMs` and `yieldHoldMs` count here. */
  limits?: Partial<ElectionLimits>;
  scheduler?: Scheduler;
}

type OwnEvent = Exclude<QueueEvent, HostEvent>;
type OwnEffect = Exclude<QueueEffect, HostEffect>;

/**
 * The first of a queue leads once the fence has given it an epoch. An election that was stopped cannot be started again.
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
            host.onEvent?.('election.queue', { first });
            dispatch({ type: 'first', first });
          },
          onGroup: (others) => {
            dispatch({ type: 'group', others });
          },
          onGivenBack: (epoch) => {
            dispatch({ type: 'givenBack', epoch });
          },
          onReachable: (reachable, reason) => {
            host.onEvent?.(reachable ? 'election.source_reached' : 'election.source_unreachable', { reason });
          },
          onFault: (error) => {
            host.onEvent?.('election.source_failed', { error });
          },
        }),
      close: () => source.stop(),
      carryOut: (effect: OwnEffect) => {
        switch (effect.type) {
          case 'say':
            return source.say(effect.word);
          case 'giveBack':
            return source.giveBack(effect.epoch);
          case 'stand':
            return source.stand(effect.standing);
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
