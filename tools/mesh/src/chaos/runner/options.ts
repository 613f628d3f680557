/** The options of a series of faults. */
import type { JobLoadSize } from '../../workloads/images/load.ts';
import type { CutFault } from '../faults/cut.ts';
import type { FaultSignal } from '../faults/fault.ts';
import type { TargetKind } from '../faults/target.ts';
import type { Step } from './schedule.ts';

export interface ChaosOptions {
  /** The role of a process, `random` roles, `links` (with `cut`) or a `schedule` (with `steps`). */
  target: TargetKind | 'random' | 'links' | 'schedule';
  node?: number | undefined;
  /** For `random`: use only this signal; undefined uses KILL and STOP. */
  signal: FaultSignal | undefined;
  /** Duration of a STOP; for `random` the maximum duration. Default 3 s. */
  pauseMs: number | undefined;
  /** For containers: networks from which the target is disconnected instead. */
  networks?: readonly string[] | undefined;
  cut?: CutFault | undefined;
  steps?: Step[] | undefined;
  /** Seed of `random`. */
  seed?: number | undefined;
  times: number;
  /** Time from one fault to the next; longer if the mesh has not recovered. */
  everyMs: number;
  /** Time limit for a recovery of the mesh. */
  recoveryTimeoutMs: number;
  /**
   * Readings that a generator sends meanwhile, and image jobs if the target concerns the equalizer
   * or `jobs` is given; undefined for no load.
   */
  load: { devices: number; rate: number; jobs?: JobLoadSize } | undefined;
  drainTimeoutMs: number;
  onProgress: (line: string) => void;
}
