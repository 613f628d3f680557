/** Elections of a coordinator: two strategies, one interface. README.md is the way in. */
export { step } from './bully.ts';
export { createBullyElection, type BullyOptions } from './bully-election.ts';
export type { Election, ElectionHost, ElectionLog, ElectionSnapshot } from './election.ts';
export type { MemberStatus, LeaderSource, LeaderSourceHandlers } from './leader-source.ts';
export { createQueueElection, type QueueElectionOptions } from './queue-election.ts';
export { realScheduler } from './transport.ts';
export type { PeerDownReason, PeerHandlers, PeerTransport, Scheduler } from './transport.ts';
export * from './types.ts';
export { initialState, roleOf, type Role } from './views.ts';
