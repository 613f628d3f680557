/** What the proxy to the analytics nodes needs of the outside world. */

/** Follows the list of analytics nodes. */
export interface NodeFinder {
  start(): void;
  /** Idempotent. */
  stop(): Promise<void>;
  /** The nodes that are known at this moment. */
  urls(): readonly string[];
}
