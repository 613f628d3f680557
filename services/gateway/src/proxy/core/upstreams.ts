/** Decides which node is asked next. */

/** The nodes in the order in which they are asked. */
export interface Upstreams {
  /**
   * All known nodes; nodes that failed lately are last. Each call begins with the next node in
   * turn.
   */
  candidates(): string[];
  /** The node gave no answer: it comes after the others for a while. */
  failed(url: string): void;
  /** The node answered. */
  answered(url: string): void;
}

export interface UpstreamsOptions {
  /** Returns the nodes that are known at this moment. */
  urls: () => readonly string[];
  /** How long a node that failed comes after the others. */
  holdMs: number;
  nowMs: () => number;
}

/** Makes a rotation in which no node has failed. */
export function createUpstreams({ urls, holdMs, nowMs }: UpstreamsOptions): Upstreams {
  const failedAtMs = new Map<string, number>();
  let turn = 0;
  const isHeld = (url: string) => nowMs() < (failedAtMs.get(url) ?? -Infinity) + holdMs;
  return {
    candidates() {
      const known = urls();
      for (const url of failedAtMs.keys()) if (!known.includes(url)) failedAtMs.delete(url);
      const first = known.length === 0 ? 0 : turn++ % known.length;
      const inTurn = [...known.slice(first), ...known.slice(0, first)];
      return [...inTurn.filter((url) => !isHeld(url)), ...inTurn.filter(isHeld)];
    },
    failed: (url) => void failedAtMs.set(url, nowMs()),
    answered: (url) => void failedAtMs.delete(url),
  };
}
