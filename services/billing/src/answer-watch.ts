/** Calls that wait for an answer that somebody else is working on: one query per look for all of them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { OperationStore } from './adapters/pg-operations.ts';
import { keyText, type Operation, type OperationKey } from './core/operation.ts';

export interface AnswerWatch {
  /** The operation once it is answered; undefined after `timeoutMs`. @throws what the store threw */
  wait(key: OperationKey, timeoutMs: number): Promise<Operation | undefined>;
}

interface Waiter {
  key: OperationKey;
  settle: (operation: Operation | undefined) => void;
  fail: (reason: unknown) => void;
}

export function createAnswerWatch(store: Pick<OperationStore, 'answered'>, pollMs: number): AnswerWatch {
  const waiters = new Map<string, Set<Waiter>>();
  let looking = false;

  async function look(): Promise<void> {
    looking = true;
    while (waiters.size > 0) {
      try {
        const keys = [...waiters.values()].flatMap((set) => [...set].slice(0, 1).map(({ key }) => key));
        for (const operation of await store.answered(keys))
          for (const waiter of waiters.get(keyText(operation)) ?? []) waiter.settle(operation);
      } catch (error) {
        for (const set of waiters.values()) for (const waiter of set) waiter.fail(error);
      }
      await delay(pollMs);
    }
    looking = false;
  }

  return {
    async wait(key, timeoutMs) {
      const text = keyText(key);
      const set = waiters.get(text) ?? new Set<Waiter>();
      waiters.set(text, set);
      let waiter: Waiter | undefined;
      let timer: NodeJS.Timeout | undefined;
      try {
        return await new Promise<Operation | undefined>((settle, fail) => {
          waiter = { key, settle, fail };
          set.add(waiter);
          timer = setTimeout(() => settle(undefined), timeoutMs);
          if (!looking) void look();
        });
      } finally {
        clearTimeout(timer);
        if (waiter !== undefined) set.delete(waiter);
        if (set.size === 0 && waiters.get(text) === set) waiters.delete(text);
      }
    },
  };
}
