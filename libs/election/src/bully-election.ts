/** Runs the Bully algorithm (`bully.ts`) behind the interface of every election. */
import { step } from './bully.ts';
import { DrivenElection } from './driver.ts';
import type { Election, ElectionHost } from './election.ts';
import { realScheduler, type PeerTransport, type Scheduler } from './transport.ts';
import type { Effect, ElectionEvent, ElectionLimits, HostEffect, HostEvent, NodeId } from './types.ts';
import { checkedLimits } from './types.ts';
import { initialState } from './views.ts';

/** Options of {@link createBullyElection}. */
export interface BullyOptions {
  nodeId: NodeId;
  /** The ids of all other nodes of the group. */
  peers: readonly NodeId[];
  transport: PeerTransport;
  host: ElectionHost;
  limits?: Partial<ElectionLimits>;
  scheduler?: Scheduler;
}

type OwnEvent = Exclude<ElectionEvent, HostEvent>;
type OwnEffect = Exclude<Effect, HostEffect>;

/**
 * Creates an election by the Bully algorithm. A stopped election cannot be restarted: create a new
 * one.
 * @throws RangeError if the limits do not fit together, or the ids are not distinct
 */
export function createBullyElection(options: BullyOptions): Election {
  const { nodeId, peers, transport, host, scheduler = realScheduler } = options;
  const limits = checkedLimits(nodeId, peers, options.limits);
  return new DrivenElection(
    {
      initial: initialState(nodeId, peers, limits),
      step,
      open: (dispatch: (event: OwnEvent) => void) =>
        transport.start({
          onPeerUp: (peer) => {
            host.log?.info({ event: 'election.peer_up', peer });
            dispatch({ type: 'peerUp', peer });
          },
          onPeerDown: (peer, reason) => {
            host.log?.info({ event: 'election.peer_down', peer, reason });
            dispatch({ type: 'peerDown', peer });
          },
          onMessage: (from, message) => {
            dispatch({ type: 'message', from, message });
          },
        }),
      close: () => transport.stop(),
      carryOut: (effect: OwnEffect) => {
        transport.send(effect.to, effect.message);
      },
      peers: (state) =>
        Object.entries(state.peers).map(([peer, view]) => ({
          nodeId: Number(peer),
          connected: view.connected,
          fit: view.fit === true,
        })),
    },
    host,
    scheduler,
  );
}
