/** Which equalizer node is asked next. */

export interface Upstreams {
  /** All that are known, those that failed lately last; each call begins with the next one. */
  candidates(): string[];
  /** It gave no answer: others come before it for a while. */
  failed(url: string): void;
  /** It answers. */
  answered(url: string): void;
}

export interface UpstreamsOptions {
  /** As known at this moment. */
  urls: () => readonly string[];
  holdMs: number;
  nowMs: () => number;
}

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
