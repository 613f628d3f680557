/**
 * Nodes for integration tests: each has an HTTP server, and a proxy is in front of every address
 * that is dialled.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { NodeId } from '@thermomesh/election';
import { createLog, deriveToken, subjects } from '@thermomesh/runtime';
import type { PeerLimits } from '../limits.ts';
import { createPeerLinks, type PeerLinkEvent, type PeerLinks } from '../peer-links.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

export const meshSecret = 'a secret for tests that is long enough';

/** Generous limits for a busy machine: only a real silence may end a link. */
export const testLimits: Partial<PeerLimits> = {
  pingIntervalMs: 50,
  peerTimeoutMs: 900,
  handshakeTimeoutMs: 20_000,
};

export interface TestMesh {
  /** Makes the links of a node, not started; `own` gives it another secret or other limits. */
  node(id: NodeId, own?: { secret?: string; limits?: Partial<PeerLimits> }): PeerLinks;
  /** The port of the node itself, behind its proxies. */
  port(id: NodeId): number;
  /** The proxy between two nodes. */
  proxy(a: NodeId, b: NodeId): TcpProxy;
  /** The counted events in sequence, such as `2 refused bad_proof`. */
  counts: string[];
  close(): Promise<void>;
}

export async function startTestMesh(ids: readonly NodeId[]): Promise<TestMesh> {
  const servers = new Map<NodeId, Server>();
  const proxies = new Map<string, TcpProxy>();
  const counts: string[] = [];
  const port = (id: NodeId) => (servers.get(id)?.address() as AddressInfo).port;
  for (const id of ids) {
    const server = createServer((_, response) => response.end('a page'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.set(id, server);
  }
  for (const low of ids) {
    for (const high of ids) {
      if (low < high) proxies.set(`${low}-${high}`, await startTcpProxy(port(high)));
    }
  }
  function proxy(a: NodeId, b: NodeId): TcpProxy {
    const found = proxies.get(`${Math.min(a, b)}-${Math.max(a, b)}`);
    if (found === undefined) throw new Error(`no proxy between ${a} and ${b}`);
    return found;
  }
  return {
    port,
    proxy,
    counts,
    node(id, own = {}) {
      const links = createPeerLinks({
        nodeId: id,
        peers: ids
          .filter((other) => other !== id)
          .map((other) => ({ nodeId: other, url: `http://127.0.0.1:${proxy(id, other).port}` })),
        token: (node) => deriveToken(own.secret ?? meshSecret, subjects.node(node)),
        log: createLog(`node-${id}`, 'silent'),
        onCount: (event: PeerLinkEvent, { reason }) =>
          counts.push([id, event, reason].filter(Boolean).join(' ')),
        limits: { ...testLimits, ...own.limits },
      });
      const server = servers.get(id);
      if (server !== undefined) links.attach(server);
      return links;
    },
    async close() {
      for (const each of proxies.values()) await each.close();
      for (const server of servers.values()) {
        server.closeAllConnections();
        server.close();
        await once(server, 'close');
      }
    },
  };
}
