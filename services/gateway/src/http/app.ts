/** The HTTP surface of the gateway. */
import type { BrokerDocument } from '@thermomesh/contracts';
import {
  bearerOf,
  createHttpApp,
  HttpError,
  type CallerGatekeeper,
  type HttpApp,
  type HttpOptions,
  type HttpRequest,
} from '@thermomesh/runtime';
import type { Checkout } from '../checkout/checkout.ts';
import { callerLimit, limitAddresses } from '../checkout/http/rate-limits.ts';
import { checkoutRoutes } from '../checkout/http/routes.ts';
import { jobRoutes } from '../jobs/http/routes.ts';
import type { Jobs } from '../jobs/jobs.ts';
import { brokerRoutes } from './routes/broker.ts';

export interface RouteDeps {
  describeBroker: () => BrokerDocument;
  /** Undefined if it is switched off. */
  checkout: Checkout | undefined;
  /** Undefined if no equalizer can be known. */
  jobs: Jobs | undefined;
  limits: { requestsPerMinuteMax: number; addressRequestsPerMinuteMax: number };
}

export async function createGatewayApp(
  options: Omit<HttpOptions, 'title' | 'version' | 'gatekeeper' | 'beforeAccess'> & {
    gatekeeper: CallerGatekeeper;
  },
  { checkout, jobs, limits, ...deps }: RouteDeps,
): Promise<HttpApp> {
  const app = await createHttpApp({
    ...options,
    title: 'Thermomesh gateway',
    version: '1',
    beforeAccess: (early) => limitAddresses(early, limits.addressRequestsPerMinuteMax),
  });
  const callerOf = (request: HttpRequest) => {
    const caller = options.gatekeeper.callerOf(bearerOf(request));
    if (caller === undefined) throw new HttpError(401, 'access.unknown_key', 'this key names no caller');
    return caller;
  };
  brokerRoutes(app, deps);
  checkoutRoutes(app, {
    checkout,
    callerOf,
    limit: callerLimit(app, limits.requestsPerMinuteMax, callerOf),
  });
  await jobRoutes(app, { jobs, callerOf });
  return app;
}
