import { AccountsDocument, CoordinatorDocument, DrainLimitsView } from '@thermomesh/contracts';
import type { HttpApp } from '@thermomesh/runtime';
import type { RouteDeps } from '../deps.ts';

/**
 * Adds the routes that show who coordinates as this node sees it, the drain limits of this node,
 * and the accounts that PostgreSQL holds (I6).
 */
export function coordinatorRoutes(
  app: HttpApp,
  { queries, describeElection, describeDrainLimits }: RouteDeps,
): void {
  app.get('/v1/coordinator', { schema: { response: { 200: CoordinatorDocument } } }, async () =>
    describeElection(),
  );
  app.get('/v1/drain-limits', { schema: { response: { 200: DrainLimitsView } } }, async () =>
    describeDrainLimits(),
  );
  app.get('/v1/accounts', { schema: { response: { 200: AccountsDocument } } }, async () =>
    queries.accounts(),
  );
}
