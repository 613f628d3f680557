/** The HTTP surface of a replica. */
import {
  createHttpApp,
  requireCaller,
  type CallerGatekeeper,
  type HttpApp,
  type HttpOptions,
} from '@thermomesh/runtime';
import type { RouteDeps } from './deps.ts';
import { orderRoutes } from './routes/orders.ts';
import { paymentRoutes } from './routes/payments.ts';

/** Creates the app with all routes; it does not listen yet. */
export async function createBillingApp(
  options: Omit<HttpOptions, 'title' | 'version' | 'gatekeeper'> & { gatekeeper: CallerGatekeeper },
  deps: Omit<RouteDeps, 'callerOf'>,
): Promise<HttpApp> {
  const app = await createHttpApp({ ...options, title: 'Thermomesh billing', version: '1' });
  const routeDeps: RouteDeps = {
    ...deps,
    callerOf: (request) => requireCaller(options.gatekeeper, request),
  };
  orderRoutes(app, routeDeps);
  paymentRoutes(app, routeDeps);
  return app;
}
