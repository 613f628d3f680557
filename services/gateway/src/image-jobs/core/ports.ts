/** What the proxy to the equalizer needs of the outside world. */

/** Follows the list of nodes of the equalizer. */
export interface EqualizerFinder {
  start(): void;
  /** Idempotent. */
  stop(): Promise<void>;
  /** The nodes that are known at this moment. */
  urls(): readonly string[];
}
