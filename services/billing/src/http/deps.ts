/** What the routes need of the replica. */
import type { HttpRequest } from '@thermomesh/runtime';
import type { PaymentQueries } from '../core/ports.ts';
import type { BillingMetrics } from '../metrics.ts';
import type { Payments } from '../payments.ts';

export interface RouteDeps {
  payments: Payments;
  queries: PaymentQueries;
  metrics: BillingMetrics;
  retryAfterSeconds: number;
  /**
   * Returns the name of the caller. Keys are unique per caller, and callers see their own payments
   * only.
   */
  callerOf: (request: HttpRequest) => string;
}
