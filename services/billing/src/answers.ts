/** Calls that wait for an answer that another replica is working on. */
import { createPollingWatch, type PollingWatch } from '@thermomesh/runtime';
import { keyText, type Operation, type OperationKey } from './core/operation.ts';
import type { OperationStore } from './core/ports.ts';

/** Waits for operations to be answered. */
export type AnswerWatch = PollingWatch<OperationKey, Operation>;

/** Creates a watch that asks the store once per poll for all waiting calls. */
export function createAnswerWatch(store: Pick<OperationStore, 'answered'>, pollMs: number): AnswerWatch {
  return createPollingWatch({
    pollMs,
    keyText,
    find: async (keys) => store.answered(keys),
    foundText: keyText,
  });
}
