/** Slots that bound work in flight, in total and for each caller. */

/** The limit that is reached. */
export type SlotLimit = 'all' | 'caller';

export interface Slots {
  /** Takes a slot. @returns its release function (idempotent), or the limit that is reached */
  take(caller: string): (() => void) | SlotLimit;
  /** Slots that the caller has taken. */
  of(caller: string): number;
  readonly size: number;
  /** Resolves when no slot is taken, or after `timeoutMs`. */
  idle(timeoutMs: number): Promise<void>;
}

export function createSlots(max: number, perCallerMax: number): Slots {
  const ofCaller = new Map<string, number>();
  let size = 0;
  let whenIdle: (() => void) | undefined;
  return {
    get size() {
      return size;
    },
    of: (caller) => ofCaller.get(caller) ?? 0,
    take(caller) {
      const own = ofCaller.get(caller) ?? 0;
      if (own >= perCallerMax) return 'caller';
      if (size >= max) return 'all';
      ofCaller.set(caller, own + 1);
      size += 1;
      let taken = true;
      return () => {
        if (!taken) return;
        taken = false;
        size -= 1;
        const left = (ofCaller.get(caller) ?? 1) - 1;
        if (left === 0) ofCaller.delete(caller);
        else ofCaller.set(caller, left);
        if (size === 0) whenIdle?.();
      };
    },
    async idle(timeoutMs) {
      if (size === 0) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, timeoutMs);
      whenIdle = resolve;
      await promise;
      clearTimeout(timer);
    },
  };
}
