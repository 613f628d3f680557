/** The election by queue, kept in ZooKeeper. */
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
 * An election whose queue is in ZooKeeper. It starts although ZooKeeper cannot be reached, and tries for ever.
 * @throws RangeError if the limits do not fit together, or the ids are not distinct
 */
export function createZooKeeperElection(options: ZooKeeperElectionOptions): Election {
  return createQueueElection({ ...options, source: createZooKeeperLeaderSource(options) });
}
