/**
 * Where a successor begins to read both topics: before these offsets lies nothing that a job under way needs. Without them each new
 * coordinator would read a day of records. Too low an offset costs time, one that is lost costs work that is done again; never more.
 */
import type { JobMetadata } from '@thermomesh/contracts';
import { parseJson } from '@thermomesh/contracts';
import { codeOf, type Log } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';

const Offsets = Type.Record(Type.String({ pattern: '^[0-9]+$' }), Type.Integer({ minimum: 0 }));

/** Offsets by partition, for each topic. */
export const Marks = Type.Object({ tasks: Offsets, results: Offsets });
export type Marks = Static<typeof Marks>;

/** Nothing is known: from what the topics still hold. */
export const noMarks: Marks = { tasks: {}, results: {} };

export interface MarksOptions {
  epoch: number;
  /** From where this coordinator has read. */
  initial: Marks;
  /** Jobs that were under way then: they need all of that. */
  recovered: Iterable<JobMetadata>;
  /** What the next records of each partition are, or earlier ones. */
  positions: () => Marks;
  save: (marks: Marks) => Promise<void>;
  log: Log;
  intervalMs?: number;
}

export interface MarkKeeper {
  /** The job is about to be stored like that. */
  note(job: JobMetadata): void;
  /** Before this nothing is needed. */
  lowest(): Marks;
  close(): void;
}

const intervalDefaultMs = 5_000;

/** Keeps the marks of a term, and makes them durable every so often. */
export function keepMarks(options: MarksOptions): MarkKeeper {
  const { epoch, initial, recovered, positions, save, log, intervalMs = intervalDefaultMs } = options;
  const needed = new Map<string, { phase: string; from: Marks }>();
  for (const { id, phase } of recovered)
    if (phase === 'mapping' || phase === 'applying') needed.set(id, { phase, from: initial });
  let saved = JSON.stringify(initial);
  let isSaving = false;

  const lowest = (): Marks => [...needed.values()].map(({ from }) => from).reduce(lower, positions());
  async function look(): Promise<void> {
    const marks = lowest();
    const text = JSON.stringify(marks);
    if (isSaving || text === saved) return;
    isSaving = true;
    try {
      await save(marks);
      saved = text;
    } catch (error) {
      // The older ones hold on; a deposed coordinator hears of it elsewhere.
      log.debug({ event: 'coordinator.marks_not_saved', code: codeOf(error) });
    } finally {
      isSaving = false;
    }
  }
  const timer = setInterval(() => void look(), intervalMs);
  return {
    note({ id, phase, phaseEpoch }) {
      if (phase !== 'mapping' && phase !== 'applying') return void needed.delete(id);
      // One that a former coordinator began has records from before.
      if (phaseEpoch !== epoch || needed.get(id)?.phase === phase) return;
      needed.set(id, { phase, from: positions() });
    },
    lowest,
    close: () => clearInterval(timer),
  };
}

/** Reads what was saved; whatever makes no sense is nothing. */
export function parseMarks(bytes: Uint8Array | null): Marks {
  const parsed = parseJson<Marks>(Marks, bytes);
  return 'record' in parsed ? parsed.record : noMarks;
}

/** The lower of each. What one of them does not know is not known. */
function lower(one: Marks, other: Marks): Marks {
  return { tasks: lowerOffsets(one.tasks, other.tasks), results: lowerOffsets(one.results, other.results) };
}

function lowerOffsets(one: Marks['tasks'], other: Marks['tasks']): Marks['tasks'] {
  return Object.fromEntries(
    Object.entries(one).flatMap(([partition, offset]) => {
      const theirs = other[partition];
      return theirs === undefined ? [] : [[partition, Math.min(offset, theirs)]];
    }),
  );
}
