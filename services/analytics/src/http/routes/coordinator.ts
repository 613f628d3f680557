import { AccountsDocument, CoordinatorDocument } from '@thermomesh/contracts';
import type { HttpApp } from '@thermomesh/runtime';
import type { RouteDeps } from '../app.ts';

/** Who coordinates, as this node sees it; and the accounts that PostgreSQL holds (I6). */
export function coordinatorRoutes(app: HttpApp, { queries, describeElection }: RouteDeps): void {
  app.get('/v1/coordinator', { schema: { response: { 200: CoordinatorDocument } } }, async () =>
    describeElection(),
  );
  app.get('/v1/accounts', { schema: { response: { 200: AccountsDocument } } }, async () =>
    queries.accounts(),
  );
}
