/** The HTTP surface of the card processor. */
import { createHttpApp, type HttpApp, type HttpOptions, type Log } from '@thermomesh/runtime';
import type { Faults } from '../core/faults.ts';
import type { Processor } from '../processor.ts';
import { chargeRoutes } from './routes/charges.ts';
import { faultRoutes } from './routes/faults.ts';

export interface RouteDeps {
  processor: Processor;
  faults: Faults;
  log: Log;
  /** Ends the process at once, as kill -9 does. */
  crash: () => void;
  /** Settles when the service stops: delays end then. */
  stopping: AbortSignal;
}

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
