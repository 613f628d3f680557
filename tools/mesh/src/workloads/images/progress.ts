/** Describes the progress of an image job in one line. Pure. */
import type { ImageJob } from '@thermomesh/contracts';

const barColumns = 30;
const full = '█';
const empty = '░';

/** Returns a line such as `mapping    ████░░░░ 12/40 chunks`; without chunks the phase alone. */
export function describeJob({ phase, progress }: Pick<ImageJob, 'phase' | 'progress'>): string {
  if (progress === null || progress.chunks === 0) return phase;
  const { done, chunks } = progress;
  const filled = Math.floor((Math.min(done, chunks) / chunks) * barColumns);
  const bar = full.repeat(filled) + empty.repeat(barColumns - filled);
  return `${phase.padEnd(9)} ${bar} ${done}/${chunks} chunks`;
}

/** Describes the parameters of a job in words, such as `luminance, pillow`. */
export function describeParameters(parameters: Readonly<Record<string, unknown>>): string {
  const words = Object.entries(parameters).map(([name, value]) =>
    ['mode', 'definition'].includes(name) ? String(value) : `${name} ${String(value)}`,
  );
  return words.length === 0 ? 'as the image is' : words.join(', ');
}
