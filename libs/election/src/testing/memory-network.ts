/** A transport in memory for tests. It passes the same suite as the real one. */
import type { NodeId, PeerMessage } from '../types.ts';
import type { PeerDownReason, PeerHandlers, PeerTransport } from '../transport.ts';

/** Links every two started transports, unless they are cut. Reports arrive in later microtasks. */
export class MemoryNetwork {
  readonly #started = new Map<NodeId, PeerHandlers>();
  readonly #cut = new Set<string>();
  /** Pair → number of the link: a message sent on an earlier link is dropped. */
  readonly #links = new Map<string, number>();
  #count = 0;

  transport(id: NodeId): PeerTransport {
    return {
      start: async (handlers) => {
        this.#started.set(id, handlers);
        for (const other of this.#started.keys()) this.#link(id, other);
      },
      stop: async () => {
        this.#started.delete(id);
        for (const other of this.#started.keys()) this.#unlink(id, other, 'closed');
      },
      send: (to, message) => this.#send(id, to, message),
    };
  }

  /** Stops all traffic between the two; both notice. */
  cut(a: NodeId, b: NodeId): void {
    this.#cut.add(pair(a, b));
    this.#unlink(a, b, 'silent');
  }

  heal(a: NodeId, b: NodeId): void {
    this.#cut.delete(pair(a, b));
    this.#link(a, b);
  }

  #link(a: NodeId, b: NodeId): void {
    const key = pair(a, b);
    const works = a !== b && this.#started.has(a) && this.#started.has(b) && !this.#cut.has(key);
    if (!works || this.#links.has(key)) return;
    this.#count += 1;
    this.#links.set(key, this.#count);
    this.#report(a, (handlers) => {
      handlers.onPeerUp(b);
    });
    this.#report(b, (handlers) => {
      handlers.onPeerUp(a);
    });
  }

  #unlink(a: NodeId, b: NodeId, reason: PeerDownReason): void {
    if (!this.#links.delete(pair(a, b))) return;
    this.#report(a, (handlers) => {
      handlers.onPeerDown(b, reason);
    });
    this.#report(b, (handlers) => {
      handlers.onPeerDown(a, reason);
    });
  }

  #send(from: NodeId, to: NodeId, message: PeerMessage): boolean {
    const link = this.#links.get(pair(from, to));
    if (link === undefined || !this.#started.has(from)) return false;
    const copy = structuredClone(message);
    this.#report(to, (handlers) => {
      if (this.#links.get(pair(from, to)) === link) handlers.onMessage(from, copy);
    });
    return true;
  }

  #report(id: NodeId, tell: (handlers: PeerHandlers) => void): void {
    const handlers = this.#started.get(id);
    if (handlers === undefined) return;
    queueMicrotask(() => {
      if (this.#started.get(id) === handlers) tell(handlers);
    });
  }
}

function pair(a: NodeId, b: NodeId): string {
  return `${Math.min(a, b)}-${Math.max(a, b)}`;
}
