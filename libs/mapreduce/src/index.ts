export * from './jobs.ts';
export * from './leader.ts';
export * from './plan.ts';
export * from './recover.ts';
export { step } from './step.ts';
export * from './types.ts';
