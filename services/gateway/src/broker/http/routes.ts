import { BrokerDocument } from '@thermomesh/contracts';
import type { HttpApp } from '@thermomesh/runtime';

export interface BrokerRouteDeps {
  describeBroker: () => BrokerDocument;
}

/**
 * `GET /v1/broker`: connections, sessions, backlog and counters, with `accepted` and `buffered` of
 * I6.
 */
export function brokerRoutes(app: HttpApp, { describeBroker }: BrokerRouteDeps): void {
  app.get('/v1/broker', { schema: { response: { 200: BrokerDocument } } }, async () => describeBroker());
}
