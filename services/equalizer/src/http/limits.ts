/** How much callers may ask of one node. */

export interface HttpLimits {
  /** Of one uploaded file. */
  uploadBytesMax: number;
  /** From the first byte of a request to its last. */
  uploadTimeoutMs: number;
  /** Uploads under way at this node: of all, and of one caller. */
  uploadsMax: number;
  uploadsPerCallerMax: number;
  /** Jobs that are not over. Checked before an upload and softly: some too many do no harm. */
  jobsOpenMax: number;
  jobsPerCallerMax: number;
  /** See `ImageLimits`. */
  wholeImagePixelsMax: number;
  /** Event streams at this node: of all, and of one caller. */
  streamsMax: number;
  streamsPerCallerMax: number;
  /** Between two comments on an event stream. */
  heartbeatMs: number;
  /** A client that takes nothing for so long has gone. */
  stallTimeoutMs: number;
  /** Of a request that was refused before it was read to its end: the rest that is read, so that the answer is heard. */
  drainBytesMax: number;
  /** What refusals that pass by themselves ask for. */
  retryAfterSeconds: number;
  /** Uploads under way at a stop may go on so long. */
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
