/**
 * Limits the requests per minute of one address and of one API key at the checkout and at the
 * commands. Each gateway counts by itself, because Redis may be away.
 */
import rateLimit from '@fastify/rate-limit';
import type { HttpApp, HttpRequest } from '@thermomesh/runtime';
import { problem } from './problem.ts';

const windowMs = 60_000;

/** True for requests of the routes of the checkout and of commands. */
function isLimited({ routeOptions: { url = '' } }: HttpRequest): boolean {
  return url.startsWith('/v1/checkouts') || url.startsWith('/v1/devices/:deviceId/commands');
}

/** Limits addresses before authentication, so that guessing keys is limited too. */
export async function limitAddresses(app: HttpApp, perMinuteMax: number): Promise<void> {
  await app.register(rateLimit, { global: false });
  const limit = app.createRateLimit({ max: perMinuteMax, timeWindow: windowMs });
  app.addHook('onRequest', async (request) => {
    if (isLimited(request)) refuse(await limit(request), 'of this address');
  });
}

/** Limits callers; {@link limitAddresses} must have run on the same app. */
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
  throw problem(429, 'http.too_many_requests', `at most ${result.max} requests a minute ${whose}`, {
    retryAfterSeconds: Math.max(1, result.ttlInSeconds),
  });
}
