/** The HTTP surface of a replica. */
import {
  bearerOf,
  createHttpApp,
  HttpError,
  type CallerGatekeeper,
  type HttpApp,
  type HttpOptions,
  type HttpRequest,
} from '@thermomesh/runtime';
import type { PaymentQueries } from '../adapters/pg-payment-queries.ts';
import type { BillingMetrics } from '../metrics.ts';
import type { Payments } from '../payments.ts';
import { orderRoutes } from './routes/orders.ts';
import { paymentRoutes } from './routes/payments.ts';

export interface RouteDeps {
  payments: Payments;
  queries: PaymentQueries;
  metrics: BillingMetrics;
  retryAfterSeconds: number;
  /** Who asks: keys are unique per caller, and callers see their own payments only. */
  callerOf: (request: HttpRequest) => string;
}

export async function createBillingApp(
  options: Omit<HttpOptions, 'title' | 'version' | 'metrics' | 'gatekeeper'> &
    Pick<HttpOptions, 'metrics'> & { gatekeeper: CallerGatekeeper },
  deps: Omit<RouteDeps, 'callerOf'>,
): Promise<HttpApp> {
  const app = await createHttpApp({ ...options, title: 'Thermomesh billing', version: '1' });
  const callerOf = (request: HttpRequest) => {
    const caller = options.gatekeeper.callerOf(bearerOf(request));
    if (caller === undefined) throw new HttpError(401, 'access.unknown_key', 'this key names no caller');
    return caller;
  };
  orderRoutes(app, { ...deps, callerOf });
  paymentRoutes(app, { ...deps, callerOf });
  return app;
}
