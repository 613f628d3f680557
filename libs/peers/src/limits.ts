/** The limits of the links between nodes. */

/** Times in milliseconds, sizes in bytes. */
export interface PeerLimits {
  /** Each end sends a ping this often. */
  pingIntervalMs: number;
  /** A link on which nothing was heard for this long is dead, although its socket is open. */
  peerTimeoutMs: number;
  /** Connecting and proving who one is, together. */
  handshakeTimeoutMs: number;
  /** The first pause before dialling again; doubled after each failure. */
  reconnectMinMs: number;
  reconnectMaxMs: number;
  /** Largest frame that is read; a larger one ends the link before it is buffered. */
  payloadBytesMax: number;
  /** Bytes that may wait for a peer that does not read; more ends the link. */
  sendBufferBytesMax: number;
  /** Connections that have not proved yet who they are; more are turned away. */
  pendingHandshakesMax: number;
  /** How long a link may take to close in order before its socket is destroyed. */
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

/** Every reason why these limits do not fit together; empty if they do. For the check at start. */
export function peerLimitFaults(limits: PeerLimits): string[] {
  const faults = Object.entries(limits)
    .filter(([, value]: [string, number]) => !Number.isInteger(value) || value <= 0)
    .map(([name]) => `${name} must be a whole number above 0`);
  if (limits.peerTimeoutMs < 3 * limits.pingIntervalMs) {
    faults.push('peerTimeoutMs must be at least 3 × pingIntervalMs: one late ping is no death');
  }
  if (limits.reconnectMinMs > limits.reconnectMaxMs)
    faults.push('reconnectMinMs must not exceed reconnectMaxMs');
  if (limits.sendBufferBytesMax < limits.payloadBytesMax) {
    faults.push('sendBufferBytesMax must hold at least one payload of payloadBytesMax');
  }
  return faults;
}

/** The pause before the next dial, after `failures` in a row; the jitter (0..1) keeps nodes from dialling in step. */
export function reconnectDelayMs(limits: PeerLimits, failures: number, jitter: number): number {
  const fullMs = Math.min(limits.reconnectMaxMs, limits.reconnectMinMs * 2 ** Math.min(failures, 20));
  return Math.round(fullMs * (0.5 + 0.5 * jitter));
}
