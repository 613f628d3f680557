import { HttpError, type HttpApp } from '@thermomesh/runtime';
import { noFaults, type FaultPlan } from '../../core/faults.ts';
import type { RouteDeps } from '../app.ts';
import { FaultsBody } from '../schemas.ts';

/** Faults on demand: PUT replaces the whole plan, DELETE ends it. */
export function faultRoutes(app: HttpApp, { faults }: RouteDeps): void {
  const config = { access: 'admin' } as const;
  app.get('/v1/faults', { config }, async () => ({ ...faults.plan, given: faults.given }));
  app.put('/v1/faults', { config, schema: { body: FaultsBody } }, async ({ body }) => {
    const plan = { ...noFaults, ...body };
    const sum = Object.values(plan.rates).reduce((total, rate) => total + rate, 0);
    if (sum > 1) throw new HttpError(400, 'faults.rates', `the rates add up to ${sum}, which is more than 1`);
    faults.plan = plan;
    return faults.plan;
  });
  app.delete('/v1/faults', { config }, async () => {
    faults.plan = noFaults;
    return faults.plan;
  });
}
