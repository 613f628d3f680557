/**
 * Creates the election that the settings choose, so that the rest of the node knows `Election`
 * only. The fence is the SQL epoch with both strategies (I2).
 */
import type { Server } from 'node:http';
import {
  createBullyElection,
  type Election,
  type ElectionHost,
  type ElectionLimits,
  type ElectionSnapshot,
} from '@thermomesh/election';
import { createPeerLinks, type PeerLinks } from '@thermomesh/peers';
import { deriveToken, subjects, type Log, type Metrics } from '@thermomesh/runtime';
import {
  createZooKeeperElection,
  joinElectionGroup,
  type GroupSeat,
  type LeaderSourceOptions,
} from '@thermomesh/zookeeper-election';
import manifest from '../../package.json' with { type: 'json' };
import type { NodeSettings } from '../config.ts';

/** A node's election, and what its strategy needs of the HTTP server. */
export interface ElectionParts {
  election: Election;
  /** Adds the peer links to the server. Call it before the server listens. */
  attach: (server: Server) => void;
}

/** Creates the election; it is not started. */
export function createElection(
  settings: NodeSettings,
  log: Log,
  metrics: Metrics,
  host: ElectionHost,
): ElectionParts {
  const { zookeeper } = settings;
  if (settings.election.strategy === 'zookeeper') {
    if (zookeeper === undefined) throw new TypeError('an election by ZooKeeper needs its settings');
    const election = createZooKeeperElection({
      ...groupOf(settings, zookeeper),
      ...electionOf(settings),
      host,
    });
    return { election, attach: () => undefined };
  }
  const links = createLinks(settings, log, metrics);
  const build = (of: ElectionHost) =>
    createBullyElection({ ...electionOf(settings), transport: links, host: of });
  const election =
    zookeeper === undefined
      ? build(host)
      : new ListedElection(joinGroup(settings, zookeeper, log), host, build);
  return { election, attach: (server) => links.attach(server) };
}

function createLinks(settings: NodeSettings, log: Log, metrics: Metrics): PeerLinks {
  const peerEvents = metrics.counter(
    'peer_link_events_total',
    'Links to peers: linked, lost, refused, unreachable',
    ['event', 'reason'],
  );
  return createPeerLinks({
    nodeId: settings.nodeId,
    peers: settings.peers,
    token: (nodeId) => deriveToken(settings.secret, subjects.node(nodeId)),
    onCount: (event, { reason = '' }) => peerEvents.inc({ event, reason }),
    limits: settings.election.links,
    log,
  });
}

function electionOf({ nodeId, peers, election }: NodeSettings): {
  nodeId: number;
  peers: number[];
  limits: ElectionLimits;
} {
  return { nodeId, peers: peers.map((peer) => peer.nodeId), limits: election.limits };
}

type ZooKeeperSettings = NonNullable<NodeSettings['zookeeper']>;

function groupOf({ nodeId, url, election }: NodeSettings, zookeeper: ZooKeeperSettings): LeaderSourceOptions {
  return {
    nodeId,
    hosts: zookeeper.hosts,
    path: zookeeper.path,
    sessionTimeoutMs: zookeeper.sessionTimeoutMs,
    about: { url, version: manifest.version, flavour: `analytics/${election.strategy}` },
  };
}

function joinGroup(settings: NodeSettings, zookeeper: ZooKeeperSettings, log: Log): GroupSeat {
  return joinElectionGroup({
    ...groupOf(settings, zookeeper),
    onReachable: (reachable, reason) =>
      log.info({ event: reachable ? 'group.reached' : 'group.unreachable', reason }),
    onFault: (err) => log.warn({ event: 'group.failed', err }),
  });
}

/**
 * An election that also lists the node among the group's members in ZooKeeper, for people and
 * tools. The election neither waits for the list nor reads it.
 */
class ListedElection implements Election {
  readonly #seat: GroupSeat;
  readonly #election: Election;

  constructor(seat: GroupSeat, host: ElectionHost, build: (host: ElectionHost) => Election) {
    this.#seat = seat;
    this.#election = build({
      ...host,
      onRole: (role, cause) => {
        host.onRole(role, cause);
        this.#publish();
      },
    });
  }

  async start(): Promise<void> {
    await this.#election.start();
    await this.#seat.start();
  }

  async stop(): Promise<void> {
    await this.#election.stop();
    await this.#seat.stop();
  }

  setFit(fit: boolean): void {
    this.#election.setFit(fit);
    this.#publish();
  }

  deposed(by: Parameters<Election['deposed']>[0]): void {
    this.#election.deposed(by);
  }

  snapshot(): ElectionSnapshot {
    return this.#election.snapshot();
  }

  #publish(): void {
    const { fit, role, epoch } = this.#election.snapshot();
    this.#seat.publish({ fit, leads: role === 'coordinator' ? epoch : null });
  }
}
