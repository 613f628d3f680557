/** ZooKeeper for TypeScript: a typed client with a session that notices, and recipes whose leases carry a fencing epoch. */
export * from './client/acl.ts';
export { ancestorsOf, compareSequence, join, nameOf, parentOf, sequenceOf } from './client/paths.ts';
export type { SessionPhase } from './client/session-state.ts';
export type { SessionListener } from './client/session.ts';
export * from './client/types.ts';
export { Watch, type Read } from './client/watch.ts';
export {
  ZooKeeper,
  type CreateOptions,
  type WaitOptions,
  type ZooKeeperOptions,
} from './client/zookeeper.ts';
export * from './errors.ts';
export * from './limits.ts';
export {
  LeaderElection,
  SimpleElection,
  type Candidate,
  type ElectionListener,
  type ElectionOptions,
} from './recipes/leader-election.ts';
export type { Lease, LeaseEnd } from './recipes/lease.ts';
export { Lock, ReadWriteLock } from './recipes/lock.ts';
export { Recipe, type RecipeState } from './recipes/recipe.ts';
export { Semaphore, type Permit, type SemaphoreOptions } from './recipes/semaphore.ts';
export { assign, type Assignment } from './recipes/assignment.ts';
export { randomly, roundRobin, sticky, type Balance } from './recipes/balance.ts';
export { DynamicConfig, type ConfigOptions, type ConfigState } from './recipes/dynamic-config.ts';
export { GroupMembership, type GroupOptions, type Member } from './recipes/group-membership.ts';
export { parseMemberMetadata, type MemberMetadata } from './recipes/member-metadata.ts';
export {
  PartitionLeadership,
  type PartitionListener,
  type PartitionOptions,
} from './recipes/partition-leadership.ts';
export {
  ServiceDiscovery,
  type DiscoveryOptions,
  type FoundInstance,
  type ServiceInstance,
} from './recipes/service-discovery.ts';
export {
  announceService,
  findService,
  type Announcement,
  type FindServiceOptions,
  type ListedProcess,
  type ServiceFinder,
  type ServicePlace,
} from './proven-services.ts';
export { SharedCounter, type CounterOptions, type CounterState } from './recipes/shared-counter.ts';
export { Barrier } from './recipes/barrier.ts';
export {
  DoubleBarrier,
  type DoubleBarrierOptions,
  type RoundEnd,
  type Stay,
} from './recipes/double-barrier.ts';
export { Rendezvous, type Needs, type Party, type RendezvousOptions } from './recipes/rendezvous.ts';
export { TaskAssignment, defaultTaskLimits, type TaskOptions } from './recipes/task-assignment.ts';
export type { TaskOutcome } from './recipes/task-plan.ts';
export type { Execute, Settlement, TaskContext } from './recipes/task-worker.ts';
