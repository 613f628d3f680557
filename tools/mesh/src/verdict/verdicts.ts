/** A verdict is true, false, or null with the reason why it was not possible to look. Pure. */
import type { InvariantId, InvariantVerdict } from '@thermomesh/contracts';

export function kept(id: InvariantId, detail: string): InvariantVerdict {
  return { id, ok: true, detail };
}

export function broken(id: InvariantId, detail: string): InvariantVerdict {
  return { id, ok: false, detail };
}

/** @param reason why it was not judged */
export function notJudged(id: InvariantId, reason: string): InvariantVerdict {
  return { id, ok: null, detail: `not judged: ${reason}` };
}

/** False if a promise is broken, null if none is but one was not judged, else true. */
export function allOf(verdicts: readonly { ok: boolean | null }[]): boolean | null {
  if (verdicts.some(({ ok }) => ok === false)) return false;
  return verdicts.length === 0 || verdicts.some(({ ok }) => ok === null) ? null : true;
}
