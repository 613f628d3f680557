/**
 * Counts and logs readings with fields that the contract does not have: they are left out, and the
 * owner of a device with a slip in a name must learn it. A fleet of such devices adds one line a
 * minute.
 */
import type { Counter, Log } from '@thermomesh/runtime';
import type { Entry } from '../core/batch.ts';

/** Minimum time between two lines. */
export const unknownFieldsLogIntervalMs = 60_000;
/** Maximum number of devices and of fields that a line names. */
const namedMax = 5;

/** Gathers readings with unknown fields, and logs them now and then. */
export interface UnknownFieldsLog {
  /** Takes the entries of an applied batch. */
  note(entries: readonly Entry[]): void;
}

/** @param now a clock in milliseconds */
export function createUnknownFieldsLog(log: Log, counter: Counter, now: () => number): UnknownFieldsLog {
  let devices = new Set<string>();
  let fields = new Set<string>();
  let readings = 0;
  let quietUntilMs = -Infinity;
  return {
    note(entries) {
      let found = 0;
      for (const { parsed, deviceId } of entries) {
        if (!('reading' in parsed) || parsed.unknownFields === undefined) continue;
        found += 1;
        if (deviceId !== undefined && devices.size < namedMax) devices.add(deviceId);
        for (const field of parsed.unknownFields) if (fields.size < namedMax) fields.add(field);
      }
      if (found > 0) counter.inc(found);
      readings += found;
      if (readings === 0 || now() < quietUntilMs) return;
      quietUntilMs = now() + unknownFieldsLogIntervalMs;
      log.warn({ event: 'drain.unknown_fields', readings, fields: [...fields], named: [...devices] });
      devices = new Set();
      fields = new Set();
      readings = 0;
    },
  };
}
