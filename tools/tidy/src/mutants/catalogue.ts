/**
 * The guards of the promises, each with the change that takes it out and the suites that must go
 * red then. A mutant is a plain text replacement, so that what is tested is the product's own code,
 * not a switch inside it.
 */
import { brokerMutants } from './catalogue/broker.ts';
import { commandsMutants } from './catalogue/commands.ts';
import { coordinationMutants } from './catalogue/coordination.ts';
import { imagesMutants } from './catalogue/images.ts';
import { paymentsMutants } from './catalogue/payments.ts';
import { telemetryMutants } from './catalogue/telemetry.ts';
import { verdictsMutants } from './catalogue/verdicts.ts';
import type { Mutant } from './mutant.ts';

export type { Mutant } from './mutant.ts';

export const mutants: readonly Mutant[] = [
  ...brokerMutants,
  ...telemetryMutants,
  ...paymentsMutants,
  ...commandsMutants,
  ...imagesMutants,
  ...coordinationMutants,
  ...verdictsMutants,
];
