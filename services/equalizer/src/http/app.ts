/** The HTTP surface of a node. Any node serves any request. */
import {
  createHttpApp,
  type Health,
  type HttpApp,
  type HttpRequest,
  type Log,
  type Metrics,
} from '@thermomesh/runtime';
import type { BlobStore } from '../core/blob-store.ts';
import type { Jobs } from '../core/jobs.ts';
import type { ImageWorkers } from '../worker/index.ts';
import { createAccess, type AccessOptions } from './access.ts';
import { createEventStreams } from './event-streams.ts';
import { acceptForms } from './form.ts';
import { httpLimitsDefault, type HttpLimits } from './limits.ts';
import { createHttpMetrics } from './metrics.ts';
import { eventRoute } from './routes/events.ts';
import { jobRoutes } from './routes/jobs.ts';
import { submitRoute } from './routes/submit.ts';
import { createSlots } from './slots.ts';

export interface AppOptions extends AccessOptions {
  jobs: Jobs;
  blobs: BlobStore;
  workers: Pick<ImageWorkers, 'run'>;
  limits?: Partial<HttpLimits>;
  log: Log;
  health: Health;
  metrics: Metrics;
  nowMs?: () => number;
}

/**
 * Does not listen yet. Closing it ends event streams (their clients ask another node) and waits a moment for uploads under way.
 */
export async function createApp(options: AppOptions): Promise<HttpApp> {
  const { jobs, blobs, workers, log, health, metrics } = options;
  const limits = { ...httpLimitsDefault, ...options.limits };
  const access = createAccess(options);
  const callerOf = (request: HttpRequest) => access.callerOf(request);
  const app = await createHttpApp({
    ...{ title: 'Thermomesh equalizer', version: '1', log, health, metrics, gatekeeper: access.gatekeeper },
    requestTimeoutMs: limits.uploadTimeoutMs,
  });
  await acceptForms(app);
  const uploads = createSlots(limits.uploadsMax, limits.uploadsPerCallerMax);
  const streams = createEventStreams({ jobs, limits, log });
  const counts = createHttpMetrics(metrics, { uploads: () => uploads.size, streams: () => streams.size });
  app.addHook('preClose', async () => {
    streams.close();
    await uploads.idle(limits.stopGraceMs);
  });
  const nowMs = options.nowMs ?? Date.now;
  submitRoute(app, { jobs, blobs, workers, limits, uploads, log, nowMs, callerOf, metrics: counts });
  jobRoutes(app, { jobs, blobs, limits, callerOf });
  eventRoute(app, { jobs, limits, callerOf, streams });
  return app;
}
