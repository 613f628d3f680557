export * from './check.ts';
export * from './documents.ts';
export * from './drain.ts';
export * from './http.ts';
export * from './ids.ts';
export * from './invariants.ts';
export * from './reading.ts';
export * from './topics.ts';
