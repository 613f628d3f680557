/** Lets orders begin during the storm, so that some of them are under way at each fault. */

export interface Gate {
  /** Lets orders below number `until` begin. */
  release(until: number): void;
  /** Ends the waiting: no more orders begin. */
  close(): void;
  /** Resolves with true when order number `index` may begin, and with false if it never may. */
  pass(index: number): Promise<boolean>;
}

export function createGate(): Gate {
  let released = 0;
  let closed = false;
  let waiting: { index: number; tell: (may: boolean) => void }[] = [];
  const tell = () => {
    const ready = waiting.filter(({ index }) => closed || index < released);
    waiting = waiting.filter((each) => !ready.includes(each));
    for (const { tell: resolve } of ready) resolve(!closed);
  };
  return {
    release(until) {
      released = Math.max(released, until);
      tell();
    },
    close() {
      closed = true;
      tell();
    },
    pass: (index) =>
      new Promise((resolve) => {
        waiting.push({ index, tell: resolve });
        tell();
      }),
  };
}
