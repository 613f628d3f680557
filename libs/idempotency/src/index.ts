export * from './step.ts';
export * from './types.ts';
