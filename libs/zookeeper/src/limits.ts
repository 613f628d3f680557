/** The limits of one client, with units, and how they must relate to each other. */

export interface ZooKeeperLimits {
  /**
   * Maximum size of a node's data. ZooKeeper refuses 1 MiB; it is made for kilobytes, and every
   * server keeps all data in memory.
   */
  dataBytesMax: number;
  /** Maximum number of requests without an answer; one more is refused. */
  requestsInFlightMax: number;
  /** A longer answer is invalid and breaks the connection. */
  frameBytesMax: number;
  /**
   * Maximum time from the dial to the server's confirmation of the session. A frozen server still
   * accepts TCP connections.
   */
  handshakeTimeoutMs: number;
  /** Upper bound of the random pause after all servers were dialled without success. */
  redialDelayMsMax: number;
  /**
   * Maximum duration of a graceful end. After it the socket is destroyed, and the session expires
   * on the server.
   */
  closeTimeoutMs: number;
  /** Maximum number of paths that `cached` remembers; the oldest is forgotten first. */
  cachedPathsMax: number;
}

export const defaultZooKeeperLimits: ZooKeeperLimits = {
  dataBytesMax: 64 * 1024,
  requestsInFlightMax: 1_000,
  frameBytesMax: 16 * 1024 * 1024,
  handshakeTimeoutMs: 2_000,
  redialDelayMsMax: 200,
  closeTimeoutMs: 2_000,
  cachedPathsMax: 1_000,
};

/** Every limit that is invalid, one message each; empty if all are valid. */
export function limitIssues(limits: ZooKeeperLimits, sessionTimeoutMs: number): string[] {
  const issues = Object.entries(limits)
    .filter(([, value]) => !Number.isInteger(value) || value <= 0)
    .map(([name]) => `${name} must be a positive integer`);
  if (limits.dataBytesMax >= 1024 * 1024)
    issues.push('dataBytesMax must be below 1 MiB, the limit of the server');
  if (!Number.isInteger(sessionTimeoutMs) || sessionTimeoutMs < 100) {
    issues.push('sessionTimeoutMs must be an integer of at least 100');
  }
  return issues;
}
