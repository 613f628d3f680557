/** The HTTP surface of a node: every node answers, coordinator or not. */
import type { CoordinatorDocument, DrainLimitsView } from '@thermomesh/contracts';
import { createHttpApp, type HttpApp, type HttpOptions } from '@thermomesh/runtime';
import type { TelemetryQueries } from '../adapters/pg-telemetry-queries.ts';
import { coordinatorRoutes } from './routes/coordinator.ts';
import { deviceRoutes } from './routes/devices.ts';
import { rejectedRoutes } from './routes/rejected.ts';

export interface RouteDeps {
  queries: TelemetryQueries;
  describeElection: () => CoordinatorDocument;
  describeDrainLimits: () => DrainLimitsView;
}

export async function createAnalyticsApp(
  options: Omit<HttpOptions, 'title' | 'version'>,
  deps: RouteDeps,
): Promise<HttpApp> {
  const app = await createHttpApp({ ...options, title: 'Thermomesh analytics', version: '1' });
  coordinatorRoutes(app, deps);
  deviceRoutes(app, deps);
  rejectedRoutes(app, deps);
  return app;
}
