/** Which strategy elects: chosen here, so that everything else knows `Election` only. The fence is the SQL epoch under both (I2). */
import type { Server } from 'node:http';
import {
  createBullyElection,
  type Election,
  type ElectionHost,
  type ElectionLimits,
} from '@thermomesh/election';
import { createPeerLinks, type PeerLinks } from '@thermomesh/peers';
import { deriveToken, subjects, type Log, type Metrics } from '@thermomesh/runtime';
import {
  createZooKeeperElection,
  joinElectionGroup,
  type LeaderSourceOptions,
} from '@thermomesh/zookeeper-election';
import manifest from '../package.json' with { type: 'json' };
import { electionLimitsOf, type Config } from './config.ts';

/** A node's election, and what its strategy needs of the HTTP server. */
export interface ElectionParts {
  election: Election;
  /** Before the server listens. */
  attach: (server: Server) => void;
}

export function createElection(
  config: Config,
  log: Log,
  metrics: Metrics,
  host: ElectionHost,
): ElectionParts {
  if (config.ELECTION === 'zookeeper') {
    const election = createZooKeeperElection({ ...groupOf(config), ...electionOf(config), host });
    return { election, attach: () => undefined };
  }
  const links = createLinks(config, log, metrics);
  const { ZOOKEEPER_HOSTS: hosts } = config;
  const build = (all: ElectionHost) =>
    createBullyElection({ ...electionOf(config), transport: links, host: all });
  const election = hosts === undefined ? build(host) : withListing(config, log, host, build);
  return { election, attach: (server) => links.attach(server) };
}

function createLinks(config: Config, log: Log, metrics: Metrics): PeerLinks {
  const peerEvents = metrics.counter(
    'peer_link_events_total',
    'Links to peers: linked, lost, refused, unreachable',
    ['event', 'reason'],
  );
  return createPeerLinks({
    nodeId: config.NODE_ID,
    peers: config.peers,
    token: (nodeId) => deriveToken(config.MESH_SECRET, subjects.node(nodeId)),
    onCount: (event, { reason = '' }) => peerEvents.inc({ event, reason }),
    limits: { pingIntervalMs: config.PEER_PING_INTERVAL_MS, peerTimeoutMs: config.PEER_TIMEOUT_MS },
    log,
  });
}

function electionOf(config: Config): { nodeId: number; peers: number[]; limits: ElectionLimits } {
  const peers = config.peers.map(({ nodeId }) => nodeId);
  return { nodeId: config.NODE_ID, peers, limits: electionLimitsOf(config) };
}

function groupOf(config: Config): LeaderSourceOptions {
  return {
    nodeId: config.NODE_ID,
    hosts: config.ZOOKEEPER_HOSTS ?? '',
    path: config.ZOOKEEPER_PATH,
    sessionTimeoutMs: config.ZOOKEEPER_SESSION_TIMEOUT_MS,
    about: { url: config.ownUrl, version: manifest.version, flavour: `analytics/${config.ELECTION}` },
  };
}

/** Lists the node among the group's members in ZooKeeper, for people and tools. The election neither waits for it nor asks it. */
function withListing(
  config: Config,
  log: Log,
  host: ElectionHost,
  build: (host: ElectionHost) => Election,
): Election {
  const seat = joinElectionGroup({
    ...groupOf(config),
    onReachable: (reachable, reason) =>
      log.info({ event: reachable ? 'group.reached' : 'group.unreachable', reason }),
    onFault: (err) => log.warn({ event: 'group.failed', err }),
  });
  const say = () => {
    const { fit, role, epoch } = election.snapshot();
    seat.say({ fit, leads: role === 'coordinator' ? epoch : null });
  };
  const election = build({
    ...host,
    onRole: (role, cause) => {
      host.onRole(role, cause);
      say();
    },
  });
  return {
    snapshot: () => election.snapshot(),
    deposed: (by) => election.deposed(by),
    async start() {
      await election.start();
      await seat.start();
    },
    setFit(fit) {
      election.setFit(fit);
      say();
    },
    async stop() {
      await election.stop();
      await seat.stop();
    },
  };
}
