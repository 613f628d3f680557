/** What the routes need of the processor. */
import type { Log } from '@thermomesh/runtime';
import type { Faults } from '../core/faults.ts';
import type { Processor } from '../processor.ts';

export interface RouteDeps {
  processor: Processor;
  faults: Faults;
  log: Log;
  /** Ends the process at once, as kill -9 does. */
  crash: () => void;
  /** Aborts when the service stops: injected delays end then. */
  stopping: AbortSignal;
}
