/** Which limits of a batch fit together, and how a published document changes them. Pure. */
import {
  documentFaults,
  DrainLimitsDocument,
  drainLimitNames,
  isDocument,
  type DrainLimits,
} from '@thermomesh/contracts';

/** What the limits of a batch have to fit to. */
export interface DrainLimitsFrame {
  /** Received and not yet in a batch. */
  queueBytesMax: number;
}

/** What is wrong among limits that are each within their bounds; empty if nothing is. */
export function drainLimitFaults(limits: DrainLimits, { queueBytesMax }: DrainLimitsFrame): string[] {
  // The intake pauses when the queue is full: a larger batch would never fill, and always wait for its linger.
  return limits.batchBytesMax > queueBytesMax
    ? [`batchBytesMax (${limits.batchBytesMax}) must not be above DRAIN_QUEUE_BYTES_MAX (${queueBytesMax})`]
    : [];
}

/**
 * The document as it is, if this node can work with it.
 * @param initial what holds where the document says nothing
 * @throws RangeError with all faults
 */
export function checkDrainLimits(
  document: unknown,
  initial: DrainLimits,
  frame: DrainLimitsFrame,
): DrainLimitsDocument {
  if (!isDocument(DrainLimitsDocument, document)) {
    throw new RangeError(documentFaults(DrainLimitsDocument, document).join('; '));
  }
  const faults = drainLimitFaults(mergeDrainLimits(initial, document), frame);
  if (faults.length > 0) throw new RangeError(faults.join('; '));
  return document;
}

/** The document over the static limits. */
export function mergeDrainLimits(initial: DrainLimits, document: DrainLimitsDocument): DrainLimits {
  const merged = { ...initial };
  for (const name of drainLimitNames) merged[name] = document[name] ?? initial[name];
  return merged;
}
