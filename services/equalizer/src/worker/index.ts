export type * from './messages.ts';
export { createImageWorkers, type ImageWorkers, type ImageWorkersOptions } from './pool.ts';
