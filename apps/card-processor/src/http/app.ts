/** The HTTP surface of the card processor. */
import { createHttpApp, type HttpApp, type HttpOptions } from '@thermomesh/runtime';
import type { RouteDeps } from './deps.ts';
import { chargeRoutes } from './routes/charges.ts';
import { faultRoutes } from './routes/faults.ts';

/** Creates the app with all routes; it does not listen yet. */
export async function createProcessorApp(
  options: Omit<HttpOptions, 'title' | 'version'>,
  routes: Omit<RouteDeps, 'log'>,
): Promise<HttpApp> {
  const deps = { ...routes, log: options.log };
  const app = await createHttpApp({
    ...options,
    title: 'Card processor (stand-in)',
    version: '1',
    bodyBytesMax: 1024 * 1024,
  });
  chargeRoutes(app, deps);
  faultRoutes(app, deps);
  return app;
}
