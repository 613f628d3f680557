/** The limits of one client, with their units, and what must hold among them. */

export interface ZooKeeperLimits {
  /** Of one node. ZooKeeper refuses 1 MiB; it is made for kilobytes, and every server keeps all of it in memory. */
  dataBytesMax: number;
  /** Requests that wait for an answer; one more is refused. */
  requestsInFlightMax: number;
  /** An answer larger than this breaks the connection: it is no answer. */
  frameBytesMax: number;
  /** From the dial to the server's word that the session stands: a frozen server still takes TCP connections. */
  handshakeTimeoutMs: number;
  /** After all servers were tried in vain, at most this long before the next round; the wait is random. */
  redialDelayMsMax: number;
  /** How long an orderly end may wait for the server; then the socket is destroyed and the session left to expire. */
  closeTimeoutMs: number;
  /** Paths that `cached` remembers; the oldest is forgotten. */
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

/** What is wrong among limits and session timeout, in words; empty if nothing is. */
export function limitFaults(limits: ZooKeeperLimits, sessionTimeoutMs: number): string[] {
  const faults = Object.entries(limits)
    .filter(([, value]) => !Number.isInteger(value) || value <= 0)
    .map(([name]) => `${name} must be a positive integer`);
  if (limits.dataBytesMax >= 1024 * 1024)
    faults.push('dataBytesMax must be below 1 MiB, the limit of the server');
  if (!Number.isInteger(sessionTimeoutMs) || sessionTimeoutMs < 100) {
    faults.push('sessionTimeoutMs must be an integer of at least 100');
  }
  return faults;
}
