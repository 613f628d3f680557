/** What operators have removed of the devices of a run, and which missing rows it explains. */
import type { ErasedCountRow } from './types.ts';

interface Removed {
  reason: string | null;
  firstSeq: number;
  lastSeq: number;
  left: number;
}

export interface Erasures {
  add(device: number, row: ErasedCountRow): void;
  /**
   * True if a removed row is left that can be the one of this message; it is used up.
   * @param seq number of the message
   * @param reason for which a poison message had to be rejected; undefined for a good reading
   */
  take(device: number, seq: number, reason: string | undefined): boolean;
}

/** Starts with nothing removed. */
export function createErasures(): Erasures {
  const byDevice = new Map<number, Removed[]>();
  return {
    add(device, { reason, firstSeq, lastSeq, erased }) {
      const removed = byDevice.get(device) ?? [];
      removed.push({ reason, firstSeq: firstSeq ?? 0, lastSeq: lastSeq ?? -1, left: erased });
      byDevice.set(device, removed);
    },
    take(device, seq, reason) {
      // A good reading may have been among the rejected messages, such as one with a conflict.
      const fits = (row: Removed) =>
        row.left > 0 &&
        (reason === undefined ? row.firstSeq <= seq && seq <= row.lastSeq : row.reason === reason);
      const found = byDevice.get(device)?.find(fits);
      if (found === undefined) return false;
      found.left--;
      return true;
    },
  };
}
