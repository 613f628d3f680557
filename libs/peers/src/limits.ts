/** Limits of the links between nodes. */

/** Limits of all links of a node. Times are in milliseconds, sizes in bytes. */
export interface PeerLimits {
  /** Interval of the pings that each end sends. */
  pingIntervalMs: number;
  /** A link that receives nothing for this time counts as dead, even if its socket is open. */
  peerTimeoutMs: number;
  /** Time limit for connecting and for the handshake together. */
  handshakeTimeoutMs: number;
  /** First pause before a redial; it doubles after each failure. */
  reconnectMinMs: number;
  /** Upper bound of the pause. */
  reconnectMaxMs: number;
  /** Maximum size of a frame; a larger one ends the link before it is buffered. */
  payloadBytesMax: number;
  /** Maximum number of bytes that wait for a peer that does not read; more end the link. */
  sendBufferBytesMax: number;
  /** Maximum number of connections in the handshake; more are refused. */
  pendingHandshakesMax: number;
  /** Time limit for closing a link gracefully; then its socket is destroyed. */
  closeTimeoutMs: number;
}

/** Defaults for nodes on one local network. */
export const defaultPeerLimits: PeerLimits = {
  pingIntervalMs: 100,
  peerTimeoutMs: 700,
  handshakeTimeoutMs: 1000,
  reconnectMinMs: 50,
  reconnectMaxMs: 1000,
  payloadBytesMax: 4096,
  sendBufferBytesMax: 262_144,
  pendingHandshakesMax: 32,
  closeTimeoutMs: 250,
};

/** The issues between these limits, for the check at start; an empty list means that they fit. */
export function peerLimitIssues(limits: PeerLimits): string[] {
  const issues = Object.entries(limits)
    .filter(([, value]: [string, number]) => !Number.isInteger(value) || value <= 0)
    .map(([name]) => `${name} must be a whole number above 0`);
  if (limits.peerTimeoutMs < 3 * limits.pingIntervalMs) {
    issues.push('peerTimeoutMs must be at least 3 × pingIntervalMs: one late ping must not end a link');
  }
  if (limits.reconnectMinMs > limits.reconnectMaxMs)
    issues.push('reconnectMinMs must not exceed reconnectMaxMs');
  if (limits.sendBufferBytesMax < limits.payloadBytesMax) {
    issues.push('sendBufferBytesMax must hold at least one payload of payloadBytesMax');
  }
  return issues;
}

/**
 * The pause before the next dial. This is not `backoffMs` of runtime: the jitter covers the upper
 * half of the pause only.
 * @param failures failed dials in a row, from 0
 * @param jitter in [0, 1]; it keeps nodes from dialling in step
 */
export function reconnectDelayMs(limits: PeerLimits, failures: number, jitter: number): number {
  const fullMs = Math.min(limits.reconnectMaxMs, limits.reconnectMinMs * 2 ** Math.min(failures, 20));
  return Math.round(fullMs * (0.5 + 0.5 * jitter));
}
