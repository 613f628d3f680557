/**
 * ZooKeeper for TypeScript: a typed client that notices a dead session, and recipes whose leases
 * carry a fencing epoch.
 */
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
} from './recipes/election/leader-election.ts';
export type { Lease, LeaseEnd } from './recipes/leases/lease.ts';
export { Lock, ReadWriteLock } from './recipes/locks/lock.ts';
export { Recipe, type RecipeState } from './recipes/recipe.ts';
export { Semaphore, type Permit, type SemaphoreOptions } from './recipes/locks/semaphore.ts';
export { assign, type Assignment } from './recipes/election/assignment.ts';
export { randomly, roundRobin, sticky, type Balance } from './recipes/groups/balance.ts';
export { DynamicConfig, type ConfigOptions, type ConfigState } from './recipes/values/dynamic-config.ts';
export { guardDocument, type GuardOptions } from './recipes/values/guarded-document.ts';
export { GroupMembership, type GroupOptions, type Member } from './recipes/groups/group-membership.ts';
export { parseMemberMetadata, type MemberMetadata } from './recipes/groups/member-metadata.ts';
export {
  PartitionLeadership,
  type PartitionListener,
  type PartitionOptions,
} from './recipes/election/partition-leadership.ts';
export {
  ServiceDiscovery,
  type DiscoveryOptions,
  type FoundInstance,
  type ServiceInstance,
} from './recipes/groups/service-discovery.ts';
export {
  announceService,
  findService,
  proofOf,
  urlOf,
  type Announcement,
  type FindServiceOptions,
  type ListedProcess,
  type ServiceFinder,
  type ServicePlace,
} from './proven-services.ts';
export { SharedCounter, type CounterOptions, type CounterState } from './recipes/values/shared-counter.ts';
export { Barrier } from './recipes/barriers/barrier.ts';
export {
  DoubleBarrier,
  type DoubleBarrierOptions,
  type RoundEnd,
  type Stay,
} from './recipes/barriers/double-barrier.ts';
export { Rendezvous, type Needs, type Party, type RendezvousOptions } from './recipes/barriers/rendezvous.ts';
export { TaskAssignment, defaultTaskLimits, type TaskOptions } from './recipes/tasks/task-assignment.ts';
export type { TaskOutcome } from './recipes/tasks/task-plan.ts';
export type { Execute, Settlement, TaskContext } from './recipes/tasks/task-worker.ts';
