/** Lets orders begin as the storm goes on, so that some are under way at each of its blows. */

export interface Gate {
  /** Orders below number `until` may begin. */
  release(until: number): void;
  /** No more orders begin; those that wait are told so. */
  close(): void;
  /** Resolves when order number `index` may begin; false if it never may. */
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
