/**
 * What every {@link PeerTransport} must do, the fake one of the tests included: `peerTransportConformance` declares the suite
 * for one implementation.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { NodeId, PeerMessage } from '../types.ts';
import type { PeerTransport } from '../transport.ts';

/** One network of nodes 1..3 under test. */
export interface TransportHarness {
  /** A transport of that node that has not been started; asked again for the same id, that of its next life. */
  transport(id: NodeId): PeerTransport | Promise<PeerTransport>;
  /** Lets nothing pass between the two, without telling them. */
  cut(a: NodeId, b: NodeId): void | Promise<void>;
  heal(a: NodeId, b: NodeId): void | Promise<void>;
  close(): void | Promise<void>;
}

/** Waits until `condition` holds, or fails after `deadlineMs`. */
export async function until(condition: () => boolean, what: string, deadlineMs = 30_000): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `still waiting for: ${what}`);
    await sleep(2);
  }
}

/** Declares the suite. `open` makes a fresh harness for each test. */
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
        started.flatMap((endpoint) => endpoint.faults),
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

    it('links every two nodes, and both learn of it', async () => {
      const endpoints = await join(3, 1, 2);
      await until(() => endpoints.every((endpoint) => endpoint.up.size === 2), 'all links');
    });

    it('delivers what was sent, unchanged and in order, under the name of the sender', async () => {
      const [one, two] = await pair();
      const sent = everyMessage();
      for (const message of sent) assert.equal(one.transport.send(2, message), true);
      two.transport.send(1, { type: 'coordinator', epoch: 9 });
      await until(() => two.heard.length === sent.length && one.heard.length === 1, 'all messages');
      assert.deepEqual(
        two.heard,
        sent.map((message) => ({ from: 1, message })),
      );
      assert.deepEqual(one.heard, [{ from: 2, message: { type: 'coordinator', epoch: 9 } }]);
    });

    it('does nothing for a peer that is not there, nor for one it has never heard of', async () => {
      const [one] = await join(1);
      assert.ok(one);
      assert.equal(one.transport.send(2, { type: 'coordinator', epoch: 1 }), false);
      assert.equal(one.transport.send(99, { type: 'coordinator', epoch: 1 }), false);
    });

    it('tells at once when a peer leaves, and when it is back in a new life', async () => {
      const [one, two] = await pair();
      await two.transport.stop();
      await until(() => one.downs.length === 1, 'the end of the link');
      assert.deepEqual(one.downs, ['2 closed']);
      assert.equal(one.transport.send(2, { type: 'coordinator', epoch: 1 }), false);
      const [again] = await join(2);
      assert.ok(again);
      await linked(one, again);
      one.transport.send(2, { type: 'coordinator', epoch: 3 });
      await until(() => again.heard.length === 1, 'a message on the new link');
    });

    it('notices at both ends that nothing passes any more, and links again when it does', async () => {
      const [one, two] = await pair();
      await harness.cut(1, 2);
      await until(() => one.up.size === 0 && two.up.size === 0, 'the silence');
      await harness.heal(1, 2);
      await linked(one, two);
    });

    it('is silent after stop, which may be called twice', async () => {
      const [one, two] = await pair();
      await Promise.all([two.transport.stop(), two.transport.stop()]);
      two.isStopped = true;
      await two.transport.stop();
      assert.equal(two.transport.send(1, { type: 'coordinator', epoch: 1 }), false);
      await until(() => one.downs.length === 1, 'the end of the link');
    });

    it('does not call back from within start or send', async () => {
      const [one] = await pair();
      one.isInside = true;
      one.transport.send(2, { type: 'coordinator', epoch: 1 });
      one.isInside = false;
    });
  });
}

function linked(one: Endpoint, two: Endpoint): Promise<void> {
  return until(() => one.up.has(two.id) && two.up.has(one.id), `the link ${one.id}-${two.id}`);
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

/** Writes down what a transport reports, and what it should not have reported. */
class Endpoint {
  readonly id: NodeId;
  readonly transport: PeerTransport;
  readonly up = new Set<NodeId>();
  readonly downs: string[] = [];
  readonly heard: { from: NodeId; message: PeerMessage }[] = [];
  readonly faults: string[] = [];
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

  private constructor(id: NodeId, transport: PeerTransport) {
    this.id = id;
    this.transport = transport;
  }

  #check(right: boolean, fault: string): void {
    if (!right) this.faults.push(`node ${this.id}: ${fault}`);
    if (this.isStopped) this.faults.push(`node ${this.id}: called after stop`);
    if (this.isInside) this.faults.push(`node ${this.id}: called from within a call`);
  }
}
