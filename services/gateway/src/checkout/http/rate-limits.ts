/** How often one address and one API key may ask the checkout. Counted in this process: Redis may be away. */
import rateLimit from '@fastify/rate-limit';
import { HttpError, type HttpApp, type HttpRequest } from '@thermomesh/runtime';

const windowMs = 60_000;

/** True for requests of the checkout's routes. */
function isCheckout(request: HttpRequest): boolean {
  return request.routeOptions.url?.startsWith('/v1/checkouts') === true;
}

/** Limits addresses: before anybody is asked who he is, so that guessing keys is limited too. */
export async function limitAddresses(app: HttpApp, perMinuteMax: number): Promise<void> {
  await app.register(rateLimit, { global: false });
  const limit = app.createRateLimit({ max: perMinuteMax, timeWindow: windowMs });
  app.addHook('onRequest', async (request) => {
    if (isCheckout(request)) refuse(await limit(request), 'of this address');
  });
}

/** Limits callers; after {@link limitAddresses} on the same app. */
export function callerLimit(
  app: HttpApp,
  perMinuteMax: number,
  callerOf: (request: HttpRequest) => string,
): (request: HttpRequest) => Promise<void> {
  const limit = app.createRateLimit({
    max: perMinuteMax,
    timeWindow: windowMs,
    keyGenerator: (request) => callerOf(request),
  });
  return async (request) => refuse(await limit(request), 'with this API key');
}

function refuse(result: Awaited<ReturnType<ReturnType<HttpApp['createRateLimit']>>>, whose: string): void {
  if (result.isAllowed || !result.isExceeded) return;
  throw new HttpError(429, 'http.too_many_requests', `at most ${result.max} requests a minute ${whose}`, {
    retryAfterSeconds: Math.max(1, result.ttlInSeconds),
  });
}
