/** The HTTP surface of the gateway. */
import type { BrokerDocument } from '@thermomesh/contracts';
import { createHttpApp, type HttpApp, type HttpOptions } from '@thermomesh/runtime';
import { brokerRoutes } from './routes/broker.ts';

export interface RouteDeps {
  describeBroker: () => BrokerDocument;
}

export async function createGatewayApp(
  options: Omit<HttpOptions, 'title' | 'version'>,
  deps: RouteDeps,
): Promise<HttpApp> {
  const app = await createHttpApp({ ...options, title: 'Thermomesh gateway', version: '1' });
  brokerRoutes(app, deps);
  return app;
}
