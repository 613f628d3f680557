/**
 * The test suite of every {@link PeerTransport}, the one in memory included.
 * `peerTransportConformance` declares it for one implementation.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { until } from '@thermomesh/testing';
import type { NodeId, PeerMessage } from '../types.ts';
import type { PeerTransport } from '../transport.ts';

/** The network under test, with nodes 1 to 3. */
export interface TransportHarness {
  /**
   * Returns an unstarted transport of that node. A second call for the same id returns the
   * transport of its next life.
   */
  transport(id: NodeId): PeerTransport | Promise<PeerTransport>;
  /** Stops all traffic between the two without closing their link. */
  cut(a: NodeId, b: NodeId): void | Promise<void>;
  heal(a: NodeId, b: NodeId): void | Promise<void>;
  close(): void | Promise<void>;
}

/** Declares the suite. `open` makes a new harness for each test. */
export function peerTransportConformance(
  name: string,
  open: () => TransportHarness | Promise<TransportHarness>,
): void {
  describe(`${name} as a PeerTransport`, () => {
    let harness: TransportHarness;
    let started: Endpoint[] = [];
    beforeEach(async () => {
      harness = await open();
      started = [];
    });
    afterEach(async () => {
      for (const endpoint of started) await endpoint.transport.stop();
      await harness.close();
      assert.deepEqual(
        started.flatMap((endpoint) => endpoint.violations),
        [],
      );
    });

    async function join(...ids: NodeId[]): Promise<Endpoint[]> {
      const endpoints: Endpoint[] = [];
      for (const id of ids) endpoints.push(await Endpoint.start(id, await harness.transport(id)));
      started.push(...endpoints);
      return endpoints;
    }

    async function pair(): Promise<[Endpoint, Endpoint]> {
      const [one, two] = await join(1, 2);
      assert.ok(one && two);
      await linked(one, two);
      return [one, two];
    }

    it('every two nodes are linked, and both learn of it', async () => {
      const endpoints = await join(3, 1, 2);
      await until('all links', () => endpoints.every((endpoint) => endpoint.up.size === 2));
    });

    it('messages arrive unchanged and in order, with the id of their sender', async () => {
      const [one, two] = await pair();
      const sent = everyMessage();
      for (const message of sent) assert.equal(one.transport.send(2, message), true);
      two.transport.send(1, { type: 'coordinator', epoch: 9 });
      await until('all messages', () => two.heard.length === sent.length && one.heard.length === 1);
      assert.deepEqual(
        two.heard,
        sent.map((message) => ({ from: 1, message })),
      );
      assert.deepEqual(one.heard, [{ from: 2, message: { type: 'coordinator', epoch: 9 } }]);
    });

    it('a send to an absent or unknown peer does nothing and returns false', async () => {
      const [one] = await join(1);
      assert.ok(one);
      assert.equal(one.transport.send(2, { type: 'coordinator', epoch: 1 }), false);
      assert.equal(one.transport.send(99, { type: 'coordinator', epoch: 1 }), false);
    });

    it('a peer that leaves and comes back in a new life is reported each time', async () => {
      const [one, two] = await pair();
      await two.transport.stop();
      await until('the end of the link', () => one.downs.length === 1);
      assert.deepEqual(one.downs, ['2 closed']);
      assert.equal(one.transport.send(2, { type: 'coordinator', epoch: 1 }), false);
      const [again] = await join(2);
      assert.ok(again);
      await linked(one, again);
      one.transport.send(2, { type: 'coordinator', epoch: 3 });
      await until('a message on the new link', () => again.heard.length === 1);
    });

    it('both ends notice a silent link, and link again after the heal', async () => {
      const [one, two] = await pair();
      await harness.cut(1, 2);
      await until('the silence', () => one.up.size === 0 && two.up.size === 0);
      await harness.heal(1, 2);
      await linked(one, two);
    });

    it('a transport reports nothing after stop, which may be called twice', async () => {
      const [one, two] = await pair();
      await Promise.all([two.transport.stop(), two.transport.stop()]);
      two.isStopped = true;
      await two.transport.stop();
      assert.equal(two.transport.send(1, { type: 'coordinator', epoch: 1 }), false);
      await until('the end of the link', () => one.downs.length === 1);
    });

    it('a transport never calls back from within start or send', async () => {
      const [one] = await pair();
      one.isInside = true;
      one.transport.send(2, { type: 'coordinator', epoch: 1 });
      one.isInside = false;
    });
  });
}

function linked(one: Endpoint, two: Endpoint): Promise<void> {
  return until(`the link ${one.id}-${two.id}`, () => one.up.has(two.id) && two.up.has(one.id));
}

function everyMessage(): PeerMessage[] {
  const each: PeerMessage[] = [
    { type: 'election', round: 1 },
    { type: 'ok', round: 2 },
    { type: 'coordinator', epoch: 3 },
    { type: 'status', fit: true, coordinator: 5, epoch: 4 },
    { type: 'status', fit: false, coordinator: null, epoch: Number.MAX_SAFE_INTEGER },
    { type: 'handover', epoch: 5 },
    { type: 'released', epoch: 6, cause: 'preempt' },
    { type: 'refused', epoch: 7 },
  ];
  return Array.from({ length: 100 }, (_, round): PeerMessage[] => [
    ...each,
    { type: 'election', round },
  ]).flat();
}

/** Records what a transport reports, and every report that breaks the rules of the port. */
class Endpoint {
  readonly id: NodeId;
  readonly transport: PeerTransport;
  readonly up = new Set<NodeId>();
  readonly downs: string[] = [];
  readonly heard: { from: NodeId; message: PeerMessage }[] = [];
  readonly violations: string[] = [];
  isStopped = false;
  isInside = false;

  static async start(id: NodeId, transport: PeerTransport): Promise<Endpoint> {
    const endpoint = new Endpoint(id, transport);
    await transport.start({
      onPeerUp: (peer) => {
        endpoint.#check(!endpoint.up.has(peer), `up of ${peer} twice`);
        endpoint.up.add(peer);
      },
      onPeerDown: (peer, reason) => {
        endpoint.#check(endpoint.up.delete(peer), `down of ${peer}, which was not up`);
        endpoint.downs.push(`${peer} ${reason}`);
      },
      onMessage: (from, message) => {
        endpoint.#check(endpoint.up.has(from), `message of ${from}, which is not up`);
        endpoint.heard.push({ from, message });
      },
    });
    return endpoint;
  }

  constructor(id: NodeId, transport: PeerTransport) {
    this.id = id;
    this.transport = transport;
  }

  #check(right: boolean, violation: string): void {
    if (!right) this.violations.push(`node ${this.id}: ${violation}`);
    if (this.isStopped) this.violations.push(`node ${this.id}: called after stop`);
    if (this.isInside) this.violations.push(`node ${this.id}: called from within a call`);
  }
}
