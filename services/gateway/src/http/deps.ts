/** The parts of the gateway that its routes use. */
import type { BrokerRouteDeps } from '../broker/http/routes.ts';
import type { Checkout } from '../checkout/checkout.ts';
import type { Commands } from '../commands/commands.ts';
import type { ImageJobs } from '../image-jobs/image-jobs.ts';
import type { ReadingsApi } from '../readings-api/readings-api.ts';
import type { IndexRouteDeps } from './index-route.ts';

export interface RouteDeps extends BrokerRouteDeps, IndexRouteDeps {
  /** Undefined if the checkout is switched off. */
  checkout: Checkout | undefined;
  /** Undefined without a database. */
  commands: Commands | undefined;
  /** Undefined if the settings name no way to find an equalizer. */
  jobs: ImageJobs | undefined;
  /** Undefined if the settings name no way to find an analytics node. */
  readings: ReadingsApi | undefined;
  limits: { requestsPerMinuteMax: number; addressRequestsPerMinuteMax: number };
}
