/**
 * Logs readings that were rejected as `seq_conflict`: their device counts again from the start,
 * and its owner must learn it. A fleet of such devices adds one line a minute.
 */
import type { Log } from '@thermomesh/runtime';
import type { Entry } from '../core/batch.ts';

/** Minimum time between two lines. */
export const conflictLogIntervalMs = 60_000;
/** Maximum number of devices that are counted between two lines, and that a line names. */
const devicesMax = 10_000;
const namedMax = 5;

/** Gathers conflicts, and logs them now and then. */
export interface ConflictLog {
  /** Takes the entries of an applied batch. */
  note(entries: readonly Entry[]): void;
}

/** @param now a clock in milliseconds */
export function createConflictLog(log: Log, now: () => number): ConflictLog {
  let devices = new Set<string>();
  let readings = 0;
  let quietUntilMs = -Infinity;
  return {
    note(entries) {
      for (const { parsed, deviceId } of entries) {
        if (!('rejection' in parsed) || parsed.rejection.reason !== 'seq_conflict') continue;
        readings += 1;
        if (deviceId !== undefined && devices.size < devicesMax) devices.add(deviceId);
      }
      if (readings === 0 || now() < quietUntilMs) return;
      quietUntilMs = now() + conflictLogIntervalMs;
      const named = [...devices].slice(0, namedMax);
      log.warn({ event: 'drain.seq_conflicts', readings, devices: devices.size, named });
      devices = new Set();
      readings = 0;
    },
  };
}
