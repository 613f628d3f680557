/** The requests that the gateway passes on to nodes. */
import type { Readable } from 'node:stream';

/** A caller's request as the node gets it. */
export interface ProxiedRequest {
  method: string;
  /** Sent unchanged. No URL is resolved, so no path can lead to another place. */
  path: string;
  headers: Readonly<Record<string, string | string[] | number | undefined>>;
  /** An upload that streams, or a small body that can be sent again; null if there is none. */
  body: Readable | Buffer | null;
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

/** Sends requests to nodes. */
export interface NodeProxy {
  /**
   * Sends one request to one node.
   * @param tryTimeoutMs another limit than that of the proxy, for this request
   * @throws NoAnswerError
   */
  send(
    this: void,
    url: string,
    proxied: ProxiedRequest,
    signal: AbortSignal,
    tryTimeoutMs?: number,
  ): Promise<Answer>;
  close(): void;
}
