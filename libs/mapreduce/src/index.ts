/** MapReduce over the chunks of images as pure functions. README.md is the way in. */
export * from './jobs.ts';
export * from './leader.ts';
export * from './plan.ts';
export * from './recover.ts';
export { step } from './step.ts';
export * from './types.ts';
