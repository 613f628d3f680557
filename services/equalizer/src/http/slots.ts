/** Places for what is under way: so many in all, and so many of one caller. */

export type Full = 'all' | 'caller';

export interface Slots {
  /** @returns what gives the place back (idempotent), or which limit is reached */
  take(caller: string): (() => void) | Full;
  of(caller: string): number;
  readonly size: number;
  /** Settles when nobody has a place, or at the deadline. */
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
