/** The life of one payment as a pure function. README.md is the way in. */
export * from './step.ts';
export * from './types.ts';
