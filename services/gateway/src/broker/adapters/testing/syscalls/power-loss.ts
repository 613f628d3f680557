/**
 * Rebuilds the file of a store as a power loss may leave it. What a sync that has ended covers is
 * on the disk, and so is a write through O_DSYNC that has ended. Of every other write that had
 * begun any sectors may be there, in any combination; a sector is never half written. A new file or
 * folder may be missing until its parent folder has been synced.
 */
import type { Activity, Creation, StoreWrite } from './activity.ts';

/** Sectors of this size are written whole or not at all. */
const sectorBytes = 512;

/** What an unsynced write leaves behind. */
const fates = ['nothing', 'everything', 'whole writes', 'sectors'] as const;

/** The file after a power loss. */
export interface Remains {
  /** Undefined if not even the name of the file is left. */
  content: Buffer | undefined;
  /** Number of writes that no sync had covered. */
  unsynced: number;
}

/**
 * The remains of a power loss at position `at` of the trace.
 * @param random numbers from 0 to 1; the same numbers give the same remains
 */
export function remainsAt(activity: Activity, at: number, random: () => number): Remains {
  const begun = activity.writes.filter(({ begin }) => begin < at);
  const content = Buffer.alloc(Math.max(0, ...begun.map(({ offset, bytes }) => offset + bytes.length)));
  const fate = fates[Math.floor(random() * fates.length)]!;
  let size = 0;
  let unsynced = 0;
  for (const write of begun) {
    const durable = isDurable(activity, write, at);
    if (!durable) unsynced += 1;
    for (const { start, bytes } of durable ? [whole(write)] : survivors(write, fate, random)) {
      bytes.copy(content, start);
      size = Math.max(size, start + bytes.length);
    }
  }
  const named = activity.creations.every(
    (made) => made.begin < at && (isNamed(activity, made, at) || random() < 0.5),
  );
  return { content: named ? content.subarray(0, size) : undefined, unsynced };
}

function isDurable({ syncs }: Activity, { isSynchronous, end }: StoreWrite, at: number): boolean {
  if (isSynchronous && end < at) return true;
  return syncs.some((sync) => sync.begin > end && sync.end < at);
}

/** True if the folder that a new name stands in was synced after the name was made. */
function isNamed({ folderSyncs }: Activity, made: Creation, at: number): boolean {
  const parent = made.path.slice(0, made.path.lastIndexOf('/'));
  return folderSyncs.some(({ path, begin, end }) => path === parent && begin > made.end && end < at);
}

interface Piece {
  start: number;
  bytes: Buffer;
}

const whole = ({ offset, bytes }: StoreWrite): Piece => ({ start: offset, bytes });

function survivors(write: StoreWrite, fate: (typeof fates)[number], random: () => number): Piece[] {
  switch (fate) {
    case 'nothing':
      return [];
    case 'everything':
      return [whole(write)];
    case 'whole writes':
      return random() < 0.5 ? [whole(write)] : [];
    case 'sectors':
      return sectorsOf(write).filter(() => random() < 0.5);
  }
}

/** Cuts a write at the borders of sectors. */
function sectorsOf({ offset, bytes }: StoreWrite): Piece[] {
  const pieces: Piece[] = [];
  for (let from = 0; from < bytes.length;) {
    const border = (Math.floor((offset + from) / sectorBytes) + 1) * sectorBytes;
    const to = Math.min(bytes.length, border - offset);
    pieces.push({ start: offset + from, bytes: bytes.subarray(from, to) });
    from = to;
  }
  return pieces;
}
