/** What the routes need of the node. */
import type {
  CoordinatorDocument,
  DrainGap,
  DrainLimitsView,
  ReplayDocument,
  TimeLimits,
} from '@thermomesh/contracts';
import type { DataUpkeep, DeviceIncarnations, TelemetryQueries } from '../core/ports.ts';
import type { RejectedMessage } from '../core/replay.ts';

export interface RouteDeps {
  queries: TelemetryQueries;
  incarnations: DeviceIncarnations;
  upkeep: DataUpkeep;
  /** The times that a query may name: those at which a reading may be measured. */
  times: TimeLimits;
  describeElection: () => CoordinatorDocument;
  describeDrainLimits: () => DrainLimitsView;
  /**
   * Accepts the gap at which the drain of this node waits.
   * @throws MeshError `drain.not_coordinator`, `drain.no_such_gap`
   */
  acceptGap: (gap: Pick<DrainGap, 'log' | 'fromLogId' | 'toLogId'>) => Promise<DrainGap>;
  /**
   * Tries a rejected message once more, with the rules of the drain of this node.
   * @throws MeshError `drain.not_coordinator`
   */
  replay: (message: RejectedMessage) => Promise<ReplayDocument>;
}
