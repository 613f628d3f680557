export * from './client.ts';
export { EqualizerNoAnswerError, EqualizerRefusedError } from './errors.ts';
