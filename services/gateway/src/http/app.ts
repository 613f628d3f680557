/** The HTTP surface of the gateway. */
import {
  createHttpApp,
  requireCaller,
  type CallerGatekeeper,
  type HttpApp,
  type HttpOptions,
  type HttpRequest,
} from '@thermomesh/runtime';
import { brokerRoutes } from '../broker/http/routes.ts';
import { callerLimit, limitAddresses } from '../checkout/http/rate-limits.ts';
import { checkoutRoutes } from '../checkout/http/routes.ts';
import { addImageJobRoutes } from '../image-jobs/http/routes.ts';
import { addReadingsRoutes } from '../readings-api/http/routes.ts';
import type { RouteDeps } from './deps.ts';

/** Makes the app with all routes; the caller listens. */
export async function createGatewayApp(
  options: Omit<HttpOptions, 'title' | 'version' | 'gatekeeper' | 'beforeAccess'> & {
    gatekeeper: CallerGatekeeper;
  },
  { describeBroker, checkout, jobs, readings, limits }: RouteDeps,
): Promise<HttpApp> {
  const app = await createHttpApp({
    ...options,
    title: 'Thermomesh gateway',
    version: '1',
    beforeAccess: (early) => limitAddresses(early, limits.addressRequestsPerMinuteMax),
  });
  const callerOf = (request: HttpRequest) => requireCaller(options.gatekeeper, request);
  brokerRoutes(app, { describeBroker });
  checkoutRoutes(app, {
    checkout,
    callerOf,
    limit: callerLimit(app, limits.requestsPerMinuteMax, callerOf),
  });
  await addImageJobRoutes(app, { jobs, callerOf });
  await addReadingsRoutes(app, { readings, callerOf });
  return app;
}
