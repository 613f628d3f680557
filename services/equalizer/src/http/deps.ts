/** What the routes of a node need. `http/app.ts` makes the parts that belong to HTTP alone. */
import type { HttpRequest, Log, Slots } from '@thermomesh/runtime';
import type { BlobStore, Jobs } from '../core/ports.ts';
import type { ImageWorkers } from '../worker/index.ts';
import type { EventStreams } from './event-streams.ts';
import type { HttpLimits } from './limits.ts';
import type { HttpMetrics } from './metrics.ts';

/** What this node knows of the coordination, for `GET /v1/coordinator`. */
export interface Coordination {
  nodeId: number;
  /** The elected node, as the queue of candidates shows it. */
  coordinator: { leader(): Promise<{ node: string; epoch: number } | undefined> };
  /** The partitions that this node leads. */
  leader: { readonly leading: readonly number[] };
}

/** What a node hands to its HTTP surface. */
export interface AppDeps extends Coordination {
  jobs: Jobs;
  blobs: BlobStore;
  workers: Pick<ImageWorkers, 'run'>;
  limits?: Partial<HttpLimits>;
  /** The clock of submissions, in Unix ms. Default: `Date.now`. */
  nowMs?: () => number;
}

export interface RouteDeps extends Omit<AppDeps, 'limits' | 'nowMs'> {
  limits: HttpLimits;
  nowMs: () => number;
  log: Log;
  /** The caller of a request; callers see their own jobs only. @throws HttpError 400, 401 */
  callerOf: (request: HttpRequest) => string;
  /** Uploads in flight at this node. */
  uploads: Slots;
  /** Event streams that are open at this node. */
  streams: EventStreams;
  metrics: HttpMetrics;
}
