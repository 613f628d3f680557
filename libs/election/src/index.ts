export { step } from './bully.ts';
export { createBullyElection, type BullyOptions } from './driver.ts';
export type { Election, ElectionHost, ElectionSnapshot } from './election.ts';
export { realScheduler } from './transport.ts';
export type { PeerDownReason, PeerHandlers, PeerTransport, Scheduler } from './transport.ts';
export * from './types.ts';
export { initialState, roleOf, type Role } from './views.ts';
