import { BrokerDocument } from '@thermomesh/contracts';
import type { HttpApp } from '@thermomesh/runtime';
import type { RouteDeps } from '../app.ts';

/** Connections, sessions, backlog and counters of the broker; I6's `accepted` and `buffered` among them. */
export function brokerRoutes(app: HttpApp, { describeBroker }: Pick<RouteDeps, 'describeBroker'>): void {
  app.get('/v1/broker', { schema: { response: { 200: BrokerDocument } } }, async () => describeBroker());
}
