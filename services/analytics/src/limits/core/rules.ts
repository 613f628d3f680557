/**
 * Which drain limits fit together, and how a published document changes the static ones.
 */
import {
  documentIssues,
  DrainLimitsDocument,
  drainLimitNames,
  isDocument,
  type DrainLimits,
} from '@thermomesh/contracts';

/** What the limits of a batch have to fit into. */
export interface DrainLimitsFrame {
  /** Maximum number of received bytes that wait for a batch. */
  queueBytesMax: number;
}

/** Lists what is wrong among limits that are each within their bounds; empty if nothing is. */
export function drainLimitIssues(limits: DrainLimits, { queueBytesMax }: DrainLimitsFrame): string[] {
  // The intake pauses when the queue is full, so a larger batch would never fill and always linger.
  return limits.batchBytesMax > queueBytesMax
    ? [`batchBytesMax (${limits.batchBytesMax}) must not be above DRAIN_QUEUE_BYTES_MAX (${queueBytesMax})`]
    : [];
}

/**
 * Returns the document unchanged if this node can work with it.
 * @param initial the static limits, which apply where the document names none
 * @throws RangeError that lists every issue
 */
export function checkDrainLimits(
  document: unknown,
  initial: DrainLimits,
  frame: DrainLimitsFrame,
): DrainLimitsDocument {
  if (!isDocument(DrainLimitsDocument, document)) {
    throw new RangeError(documentIssues(DrainLimitsDocument, document).join('; '));
  }
  const issues = drainLimitIssues(mergeDrainLimits(initial, document), frame);
  if (issues.length > 0) throw new RangeError(issues.join('; '));
  return document;
}

/** Applies the document on top of the static limits. */
export function mergeDrainLimits(initial: DrainLimits, document: DrainLimitsDocument): DrainLimits {
  const merged = { ...initial };
  for (const name of drainLimitNames) merged[name] = document[name] ?? initial[name];
  return merged;
}
