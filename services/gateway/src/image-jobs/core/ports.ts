/** The ports of the proxy to the equalizer; adapters implement them. */
import type { Readable } from 'node:stream';

/** A caller's request as the node gets it. */
export interface ProxiedRequest {
  method: string;
  /** Sent unchanged. No URL is resolved, so no path can lead to another place. */
  path: string;
  headers: Readonly<Record<string, string | string[] | number | undefined>>;
  /** The upload; null if there is none. */
  body: Readable | null;
}

/** The answer of a node; its body streams. */
export interface Answer {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: Readable;
}

/** Time limits of one request. */
export interface ProxyLimits {
  /** Time limit for "100 Continue" for an upload, else for the answer. */
  tryTimeoutMs: number;
  /** Time limit for an answer after the last byte of an upload. */
  answerTimeoutMs: number;
  /** Maximum time in which the node takes and sends nothing. */
  silenceTimeoutMs: number;
}

/** Sends requests to nodes of the equalizer. */
export interface NodeProxy {
  /**
   * Sends one request to one node.
   * @throws NoAnswerError
   */
  send(url: string, proxied: ProxiedRequest, signal: AbortSignal): Promise<Answer>;
  close(): void;
}

/** Follows the list of nodes of the equalizer. */
export interface EqualizerFinder {
  start(): void;
  /** Idempotent. */
  stop(): Promise<void>;
  /** The nodes that are known at this moment. */
  urls(): readonly string[];
}
