/** The limits of a link. */

export interface LinkLimits {
  /** Bytes of one direction of one connection that may wait for their time; then the sender is no longer read. */
  queueBytesMax: number;
  /** Connections of one link; further ones are reset. */
  connectionsMax: number;
  /** How long a connection to the target may take. */
  dialTimeoutMs: number;
}

export const defaultLinkLimits: LinkLimits = {
  queueBytesMax: 256 * 1024,
  connectionsMax: 256,
  dialTimeoutMs: 5_000,
};
