/** The HTTP surface of a node: every node answers, whether it is coordinator or not. */
import { createHttpApp, type HttpApp, type HttpOptions } from '@thermomesh/runtime';
import type { RouteDeps } from './deps.ts';
import { coordinatorRoutes } from './routes/coordinator.ts';
import { deviceRoutes } from './routes/devices.ts';
import { drainRoutes } from './routes/drain.ts';
import { incarnationRoutes } from './routes/incarnations.ts';
import { rejectedRoutes } from './routes/rejected.ts';
import { upkeepRoutes } from './routes/upkeep.ts';

/** Creates the app with all routes; it does not listen yet. */
export async function createAnalyticsApp(
  options: Omit<HttpOptions, 'title' | 'version'>,
  deps: RouteDeps,
): Promise<HttpApp> {
  const app = await createHttpApp({ ...options, title: 'Thermomesh analytics', version: '1' });
  coordinatorRoutes(app, deps);
  drainRoutes(app, deps);
  deviceRoutes(app, deps);
  incarnationRoutes(app, deps);
  rejectedRoutes(app, deps);
  upkeepRoutes(app, deps);
  return app;
}
