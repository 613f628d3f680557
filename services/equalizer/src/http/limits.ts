/** How much the callers of one node may ask for. */

export interface HttpLimits {
  /** Size of one uploaded file. */
  uploadBytesMax: number;
  /** Time from the first byte of a request to its last. */
  uploadTimeoutMs: number;
  /** Uploads in flight at this node, in total. */
  uploadsMax: number;
  /** Uploads in flight at this node, for each caller. */
  uploadsPerCallerMax: number;
  /**
   * Jobs that are not over, in total. Checked before an upload and approximately: a few jobs too
   * many do no harm.
   */
  jobsOpenMax: number;
  /** Jobs that are not over, for each caller. */
  jobsPerCallerMax: number;
  /** See `ImageLimits`. */
  wholeImagePixelsMax: number;
  /** Event streams at this node, in total. */
  streamsMax: number;
  /** Event streams at this node, for each caller. */
  streamsPerCallerMax: number;
  /** Time between two comments on an event stream. */
  heartbeatMs: number;
  /** A client that reads nothing for this time is disconnected. */
  stallTimeoutMs: number;
  /**
   * Bytes that are still read of a request that was refused early, so that its sender receives the
   * answer.
   */
  drainBytesMax: number;
  /** `Retry-After` of temporary refusals. */
  retryAfterSeconds: number;
  /** Time that uploads in flight have to finish at a graceful shutdown. */
  stopGraceMs: number;
}

export const httpLimitsDefault: HttpLimits = {
  uploadBytesMax: 256 * 1024 * 1024,
  uploadTimeoutMs: 600_000,
  uploadsMax: 32,
  uploadsPerCallerMax: 8,
  jobsOpenMax: 200,
  jobsPerCallerMax: 50,
  wholeImagePixelsMax: 50_000_000,
  streamsMax: 1_000,
  streamsPerCallerMax: 200,
  heartbeatMs: 10_000,
  stallTimeoutMs: 30_000,
  drainBytesMax: 64 * 1024 * 1024,
  retryAfterSeconds: 2,
  stopGraceMs: 3_000,
};
