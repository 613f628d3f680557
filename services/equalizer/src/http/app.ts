/** The HTTP surface of a node. Any node serves any request. */
import { createHttpApp, type HttpApp, type HttpOptions, createSlots } from '@thermomesh/runtime';
import type { Access } from './access.ts';
import type { AppDeps, RouteDeps } from './deps.ts';
import { createEventStreams } from './event-streams.ts';
import { acceptForms } from './form.ts';
import { httpLimitsDefault } from './limits.ts';
import { createHttpMetrics } from './metrics.ts';
import { coordinatorRoute } from './routes/coordinator.ts';
import { eventRoute } from './routes/events.ts';
import { jobRoutes } from './routes/jobs.ts';
import { submitRoute } from './routes/submit.ts';

export interface AppOptions extends Pick<HttpOptions, 'log' | 'health' | 'metrics'> {
  access: Access;
}

/**
 * Creates the app with all routes; the caller makes it listen. Closing it ends the event streams
 * (their clients reconnect to another node) and waits a moment for uploads in flight.
 */
export async function createEqualizerApp(options: AppOptions, deps: AppDeps): Promise<HttpApp> {
  const { access, log, health, metrics } = options;
  const limits = { ...httpLimitsDefault, ...deps.limits };
  const app = await createHttpApp({
    title: 'Thermomesh equalizer',
    version: '1',
    log,
    health,
    metrics,
    gatekeeper: access.gatekeeper,
    requestTimeoutMs: limits.uploadTimeoutMs,
  });
  await acceptForms(app);
  const uploads = createSlots(limits.uploadsMax, limits.uploadsPerCallerMax);
  const streams = createEventStreams({ jobs: deps.jobs, limits, log });
  const counts = createHttpMetrics(metrics, { uploads: () => uploads.size, streams: () => streams.size });
  app.addHook('preClose', async () => {
    streams.close();
    await uploads.idle(limits.stopGraceMs);
  });
  const routeDeps: RouteDeps = {
    ...deps,
    limits,
    nowMs: deps.nowMs ?? Date.now,
    log,
    callerOf: access.callerOf,
    uploads,
    streams,
    metrics: counts,
  };
  submitRoute(app, routeDeps);
  jobRoutes(app, routeDeps);
  eventRoute(app, routeDeps);
  coordinatorRoute(app, routeDeps);
  return app;
}
