/** The HTTP surface of the gateway. */
import {
  createHttpApp,
  requireCaller,
  type CallerGatekeeper,
  type HttpApp,
  type HttpOptions,
  type HttpRequest,
} from '@thermomesh/runtime';
import type { OpenApiDocument } from '@thermomesh/contracts/openapi';
import { brokerRoutes } from '../broker/http/routes.ts';
import { callerLimit, limitAddresses } from '../checkout/http/rate-limits.ts';
import { checkoutRoutes } from '../checkout/http/routes.ts';
import { commandRoutes } from '../commands/http/routes.ts';
import { addImageJobRoutes } from '../image-jobs/http/routes.ts';
import { addReadingsRoutes } from '../readings-api/http/routes.ts';
import type { RouteDeps } from './deps.ts';
import { indexRoute } from './index-route.ts';
import { completeDocument } from './openapi/document.ts';

export interface GatewayAppOptions extends Omit<
  HttpOptions,
  'title' | 'version' | 'gatekeeper' | 'beforeAccess' | 'completeDocument'
> {
  gatekeeper: CallerGatekeeper;
  /** Sees every route that is added, for tests. */
  onRoute?: (route: { method: string | string[]; url: string }) => void;
}

/** Makes the app with all routes; the caller listens. */
export async function createGatewayApp(
  options: GatewayAppOptions,
  { describeBroker, mqttPort, checkout, commands, jobs, readings, limits }: RouteDeps,
): Promise<HttpApp> {
  const app: HttpApp = await createHttpApp({
    ...options,
    title: 'Thermomesh gateway',
    version: '1',
    completeDocument: (document) =>
      completeDocument(document as OpenApiDocument, (method, url) => app.hasRoute({ method: method, url })),
    beforeAccess: async (early) => {
      if (options.onRoute !== undefined) early.addHook('onRoute', options.onRoute);
      await limitAddresses(early, limits.addressRequestsPerMinuteMax);
    },
  });
  const callerOf = (request: HttpRequest) => requireCaller(options.gatekeeper, request);
  indexRoute(app, { mqttPort });
  brokerRoutes(app, { describeBroker });
  checkoutRoutes(app, {
    checkout,
    callerOf,
    limit: callerLimit(app, limits.requestsPerMinuteMax, callerOf),
  });
  commandRoutes(app, {
    commands,
    callerOf,
    limit: callerLimit(app, commands?.limits.requestsPerMinuteMax ?? limits.requestsPerMinuteMax, callerOf),
  });
  await addImageJobRoutes(app, { jobs, callerOf });
  await addReadingsRoutes(app, { readings, callerOf });
  return app;
}
