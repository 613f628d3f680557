/**
 * The offsets from which a successor reads both topics: no running job needs an earlier record.
 * Without them each new coordinator would read a day of records. An offset that is too low costs
 * time; a lost one costs repeated work. Neither changes a result.
 */
import type { JobMetadata } from '@thermomesh/contracts';
import { parseJson } from '@thermomesh/contracts';
import { codeOf, type Log } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';

const Offsets = Type.Record(Type.String({ pattern: '^[0-9]+$' }), Type.Integer({ minimum: 0 }));

/** Offsets by partition, for each topic. */
export const ReadOffsets = Type.Object({ tasks: Offsets, results: Offsets });
export type ReadOffsets = Static<typeof ReadOffsets>;

/** No offsets are known: both topics are read from their beginning. */
export const noReadOffsets: ReadOffsets = { tasks: {}, results: {} };

export interface ReadOffsetsOptions {
  epoch: number;
  /** The offsets from which this coordinator has read. */
  initial: ReadOffsets;
  /** Jobs that were running at that time; they need all records since `initial`. */
  recovered: Iterable<JobMetadata>;
  /** For each partition, the offset of the next record, or an earlier one. */
  positions: () => ReadOffsets;
  save: (readOffsets: ReadOffsets) => Promise<void>;
  log: Log;
  intervalMs?: number;
}

export interface ReadOffsetKeeper {
  /** Call before a job is stored in this state. */
  note(job: JobMetadata): void;
  /** The lowest offsets that a running job needs. */
  lowest(): ReadOffsets;
  close(): void;
}

const intervalDefaultMs = 5_000;

/** Keeps the read offsets of a term, and saves them every `intervalMs`. */
export function keepReadOffsets(options: ReadOffsetsOptions): ReadOffsetKeeper {
  const { epoch, initial, recovered, positions, save, log, intervalMs = intervalDefaultMs } = options;
  const needed = new Map<string, { phase: string; from: ReadOffsets }>();
  for (const { id, phase } of recovered)
    if (phase === 'mapping' || phase === 'applying') needed.set(id, { phase, from: initial });
  let saved = JSON.stringify(initial);
  let isSaving = false;

  const lowest = (): ReadOffsets => [...needed.values()].map(({ from }) => from).reduce(lower, positions());
  async function saveLowest(): Promise<void> {
    const readOffsets = lowest();
    const text = JSON.stringify(readOffsets);
    if (isSaving || text === saved) return;
    isSaving = true;
    try {
      await save(readOffsets);
      saved = text;
    } catch (error) {
      // The older offsets stay valid. A deposed coordinator learns of its end from other writes.
      log.debug({ event: 'coordinator.marks_not_saved', code: codeOf(error) });
    } finally {
      isSaving = false;
    }
  }
  const timer = setInterval(() => void saveLowest(), intervalMs);
  return {
    note({ id, phase, phaseEpoch }) {
      if (phase !== 'mapping' && phase !== 'applying') return void needed.delete(id);
      // A phase that a former coordinator began has older records.
      if (phaseEpoch !== epoch || needed.get(id)?.phase === phase) return;
      needed.set(id, { phase, from: positions() });
    },
    lowest,
    close: () => clearInterval(timer),
  };
}

/** Parses saved offsets; invalid content counts as none. */
export function parseReadOffsets(bytes: Uint8Array | null): ReadOffsets {
  const parsed = parseJson<ReadOffsets>(ReadOffsets, bytes);
  return 'record' in parsed ? parsed.record : noReadOffsets;
}

/** The lower offset of each partition; a partition that one side lacks is left out. */
function lower(one: ReadOffsets, other: ReadOffsets): ReadOffsets {
  return { tasks: lowerOffsets(one.tasks, other.tasks), results: lowerOffsets(one.results, other.results) };
}

function lowerOffsets(one: ReadOffsets['tasks'], other: ReadOffsets['tasks']): ReadOffsets['tasks'] {
  return Object.fromEntries(
    Object.entries(one).flatMap(([partition, offset]) => {
      const theirs = other[partition];
      return theirs === undefined ? [] : [[partition, Math.min(offset, theirs)]];
    }),
  );
}
