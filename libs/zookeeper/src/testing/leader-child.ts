/**
 * A candidate in its own process, which a test can stop: `leader-child.ts <hosts> <path> <id>`. It
 * acts as long as it leads.
 */
import { ZooKeeper } from '../client/zookeeper.ts';
import { LeaderElection } from '../recipes/election/leader-election.ts';
import type { Lease } from '../recipes/leases/lease.ts';

/** The messages to the parent process. */
export type LeaderNews = { type: 'elected' | 'act' | 'suspended' | 'resumed' | 'deposed'; epoch: string };

const [hosts = '', path = '', id = ''] = process.argv.slice(2);
const actIntervalMs = 10;
const zk = new ZooKeeper({ hosts, sessionTimeoutMs: 600 });
const tell = (type: LeaderNews['type'], lease: Lease) =>
  process.send?.({ type, epoch: String(lease.epoch) } satisfies LeaderNews);
const election = new LeaderElection(zk, {
  path,
  id,
  listener: {
    elected: (lease) => tell('elected', lease),
    suspended: (lease) => tell('suspended', lease),
    resumed: (lease) => tell('resumed', lease),
    deposed: (lease) => tell('deposed', lease),
  },
});
zk.start();
election.start();
const acting = setInterval(() => {
  if (election.lease?.held === true) tell('act', election.lease);
}, actIntervalMs);
process.once('disconnect', () => {
  clearInterval(acting);
  void election.close().then(async () => zk.close());
});
