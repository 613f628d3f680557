export * from './client.ts';
export { BillingNoAnswerError, BillingRefusedError, type NoAnswerReason } from './errors.ts';
export * from './policy.ts';
