import { HttpError, type HttpApp } from '@thermomesh/runtime';
import type { ProcessorErrorCode } from '../../core/errors.ts';
import { noFaults } from '../../core/faults.ts';
import type { RouteDeps } from '../deps.ts';
import { FaultsBody } from '../schemas.ts';

/** Adds the routes of the fault plan: PUT replaces the whole plan, DELETE ends it. */
export function faultRoutes(app: HttpApp, { faults }: RouteDeps): void {
  const config = { access: 'admin' } as const;
  app.get('/v1/faults', { config }, async () => ({ ...faults.plan, given: faults.given }));
  app.put('/v1/faults', { config, schema: { body: FaultsBody } }, async ({ body }) => {
    const { rates = {} } = body;
    const sum = Object.values(rates).reduce<number>((total, rate) => total + (rate ?? 0), 0);
    if (sum > 1)
      throw new HttpError(
        400,
        'faults.rates' satisfies ProcessorErrorCode,
        `the rates add up to ${sum}, which is more than 1`,
      );
    faults.plan = { ...noFaults, ...body, rates };
    return faults.plan;
  });
  app.delete('/v1/faults', { config }, async () => {
    faults.plan = noFaults;
    return faults.plan;
  });
}
