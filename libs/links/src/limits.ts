/** Limits of a link. */

export interface LinkLimits {
  /**
   * Maximum number of bytes that wait in one direction of one connection; then the link stops
   * reading from the sender.
   */
  queueBytesMax: number;
  /** Maximum number of connections of one link; further ones are reset. */
  connectionsMax: number;
  /** Time limit for a connection to the target. */
  dialTimeoutMs: number;
}

export const defaultLinkLimits: LinkLimits = {
  queueBytesMax: 256 * 1024,
  connectionsMax: 256,
  dialTimeoutMs: 5_000,
};
