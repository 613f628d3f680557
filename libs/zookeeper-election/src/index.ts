/** The election by queue, with the queue in ZooKeeper. */
import { createQueueElection, type Election, type QueueElectionOptions } from '@thermomesh/election';
import { createZooKeeperLeaderSource, type LeaderSourceOptions } from './leader-source.ts';

export {
  joinElectionGroup,
  readElectionGroup,
  type GroupEvents,
  type GroupSeat,
  type ListedMember,
  type ReadGroupOptions,
} from './group.ts';
export { createZooKeeperLeaderSource, type LeaderSourceOptions } from './leader-source.ts';
export { membersPath, parseMember, type AboutMember, type ElectionMember } from './members.ts';

export type ZooKeeperElectionOptions = Omit<QueueElectionOptions, 'source'> & LeaderSourceOptions;

/**
 * Creates an election whose queue is in ZooKeeper. It starts even if ZooKeeper cannot be reached,
 * and keeps trying until it is stopped.
 * @throws RangeError if the limits do not fit together, or the ids are not distinct
 */
export function createZooKeeperElection(options: ZooKeeperElectionOptions): Election {
  return createQueueElection({ ...options, source: createZooKeeperLeaderSource(options) });
}
