/** Judges I4: results of image jobs against those of a single process. Pure. */
import type { InvariantVerdict } from '@thermomesh/contracts';
import type { JobRecord } from '../mesh/evidence/jobs.ts';
import type { Probe } from './probe.ts';
import { broken, kept, notJudged } from './verdicts.ts';

/** The probe, or why there was none. */
export type ProbeOutcome = Probe | { kind: 'none'; reason: string };

/**
 * Judges the comparisons on record, and the probe.
 * @param records of callers who compared their results
 */
export function judgeImages(records: readonly JobRecord[], probe: ProbeOutcome): InvariantVerdict {
  const compared = records.filter(({ identical }) => identical !== undefined);
  const differing = compared.filter(({ identical }) => identical === false).map(({ id }) => id);
  const probed = probe.kind === 'compared';
  if (probed && !probe.identical) differing.push(`${probe.job.id} (the probe of this command)`);
  const count = compared.length + (probed ? 1 : 0);
  if (differing.length > 0)
    return broken(
      'I4',
      `${differing.length} of ${count} results differ from that of a single process: ${differing.join(', ')}`,
    );
  const detail = `${count} results compared byte by byte with that of a single process`;
  if (count > 0) return kept('I4', probed ? `${detail}, one of them by this command` : detail);
  const why = probe.kind === 'none' ? probe.reason : 'the probe has no result';
  return notJudged('I4', why);
}
