import assert from 'node:assert/strict';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { NodeId, PeerHandlers, PeerMessage } from '@thermomesh/election';
import { until } from '@thermomesh/testing';
import { createLog, deriveToken, subjects } from '@thermomesh/runtime';
import { WebSocket } from 'ws';
import { acceptHandshake, dialHandshake, type Handshake } from './handshake.ts';
import { createPeerLinks, peersPath, type PeerLinks } from './peer-links.ts';
import { meshSecret, startTestMesh, testLimits, type TestMesh } from './testing/mesh.ts';

const tokenOf = (node: NodeId) => deriveToken(meshSecret, subjects.node(node));

describe('links between nodes', () => {
  let mesh: TestMesh;
  let running: PeerLinks[] = [];
  beforeEach(async () => {
    mesh = await startTestMesh([1, 2, 3]);
    running = [];
  });
  afterEach(async () => {
    for (const links of running) await links.stop();
    await mesh.close();
  });

  async function start(id: NodeId, own?: Parameters<TestMesh['node']>[1]): Promise<Node> {
    const links = mesh.node(id, own);
    running.push(links);
    return await run(links);
  }

  async function pair(): Promise<[Node, Node]> {
    const [one, two] = [await start(1), await start(2)];
    await until('the link', () => one.links.connected().includes(2) && two.links.connected().includes(1));
    return [one, two];
  }

  /** Opens a socket that completes the handshake as node 1. */
  async function impostor(
    port: number,
    handshake: Handshake = dialHandshake(1, 2, tokenOf),
  ): Promise<WebSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${peersPath}`);
    socket.on('error', () => undefined);
    await once(socket, 'open');
    const proved = new Promise<void>((resolve) => {
      socket.on('message', (data: Buffer) => {
        const turn = handshake.receive(data.toString());
        if (turn.send !== undefined) socket.send(turn.send);
        if (turn.peer !== undefined) resolve();
      });
    });
    socket.send(handshake.open().send ?? '');
    await Promise.race([proved, once(socket, 'close')]);
    return socket;
  }

  it('both ends notice a broken connection at once, and link again', async () => {
    const [one, two] = await pair();
    mesh.proxy(1, 2).sever();
    await until('both downs', () => one.events.length >= 2 && two.events.length >= 2);
    assert.deepEqual([one.events[1], two.events[1]], ['down 2 closed', 'down 1 closed']);
    await until(
      'the link again',
      () => one.links.connected().length === 1 && two.links.connected().length === 1,
    );
  });

  it('a hanging peer is noticed although its socket stays open', async () => {
    const [one, two] = await pair();
    mesh.proxy(1, 2).freeze();
    await until('both downs', () => one.events.length >= 2 && two.events.length >= 2);
    assert.deepEqual([one.events[1], two.events[1]], ['down 2 silent', 'down 1 silent']);
  });

  it('a peer that proves itself and then stops reading is noticed', async () => {
    const two = await start(2);
    const socket = await impostor(mesh.port(2));
    await until('the impostor’s link', () => two.links.connected().includes(1));
    socket.pause();
    await until('the silence', () => two.events.length === 2);
    assert.equal(two.events[1], 'down 1 silent');
    socket.terminate();
  });

  it('a server that accepts and never answers is given up after the handshake timeout', async () => {
    const held: Socket[] = [];
    const server = createServer((socket) => held.push(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const limits = { ...testLimits, handshakeTimeoutMs: 100 };
    const log = createLog('node-1', 'silent');
    const links = createPeerLinks({ nodeId: 1, peers: [{ nodeId: 2, url }], token: tokenOf, log, limits });
    running.push(links);
    const one = await run(links);
    await until('a second dial', () => held.length >= 2);
    assert.deepEqual(one.events, []);
    for (const socket of held) socket.destroy();
    server.close();
  });

  it('a node with another secret is refused in both directions', async () => {
    const stranger = await start(2, { secret: 'another secret that is long enough too' });
    const [one, three] = [await start(1), await start(3)];
    await until('the link of the nodes of one mesh', () => one.links.connected().includes(3));
    await until('1 refuses what it dialled', () => mesh.counts.includes('1 refused bad_proof'));
    await until('2 refuses 3, which it dialled', () => mesh.counts.includes('2 refused bad_proof'));
    assert.deepEqual(stranger.events, []);
    assert.deepEqual(three.events, ['up 1']);
    // A dialler that ignores the proof of the acceptor is refused by the acceptor.
    const wrong = (node: NodeId) => (node === 1 ? 'x'.repeat(43) : tokenOf(node));
    const socket = await impostor(mesh.port(3), dialHandshake(1, 3, wrong));
    await until('3 refuses its dialler', () => mesh.counts.includes('3 refused bad_proof'));
    assert.notEqual(socket.readyState, WebSocket.OPEN);
    assert.deepEqual(three.events, ['up 1']);
  });

  it('an acceptor that cannot prove itself receives neither a proof nor a token', async () => {
    const one = await start(1);
    const seen: string[] = [];
    const thief = acceptHandshake(
      2,
      () => true,
      () => 'y'.repeat(43),
    );
    const { WebSocketServer } = await import('ws');
    const trap = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(trap, 'listening');
    trap.on('connection', (socket) => {
      socket.on('message', (data: Buffer) => {
        seen.push(data.toString());
        socket.send(thief.receive(data.toString()).send ?? '');
      });
    });
    const url = `http://127.0.0.1:${(trap.address() as AddressInfo).port}`;
    const log = createLog('node-1', 'silent');
    const links = createPeerLinks({ nodeId: 1, peers: [{ nodeId: 2, url }], token: tokenOf, log });
    running.push(links);
    await run(links);
    await until('two dials', () => seen.length >= 2);
    assert.ok(seen.every((frame) => frame.includes('"hello"') && !frame.includes(tokenOf(1))));
    assert.deepEqual(one.events, []);
    trap.close();
    for (const client of trap.clients) client.terminate();
  });

  it('a restarted peer is linked again, both as dialler and as acceptor', async () => {
    const [one, two] = await pair();
    await two.links.stop();
    const again = await start(2);
    await until(
      'the dialled end is back',
      () => one.links.connected().includes(2) && again.events.length === 1,
    );
    await one.links.stop();
    const dialler = await start(1);
    await until(
      'the dialling end is back',
      () => again.events.length === 3 && dialler.links.connected().includes(2),
    );
    assert.deepEqual(again.events, ['up 1', 'down 1 closed', 'up 1']);
  });

  it('a newer link of the same peer replaces the older one', async () => {
    const two = await start(2);
    const first = await impostor(mesh.port(2));
    const second = await impostor(mesh.port(2));
    await until('the replacement', () => two.events.length === 3);
    assert.deepEqual(two.events, ['up 1', 'down 1 replaced', 'up 1']);
    second.send('{"type":"coordinator","epoch":4}');
    await until('a message on the newer link', () => two.messages.length === 1);
    await until('the end of the older one', () => first.readyState === WebSocket.CLOSED);
    second.terminate();
  });

  const frames: [name: string, frame: string | Buffer, code: string][] = [
    ['text that is not JSON', 'hello?', 'malformed_message'],
    ['JSON that is not a message', '{"type":"coordinator","epoch":"many"}', 'malformed_message'],
    ['a binary frame', Buffer.from('{"type":"coordinator","epoch":1}'), 'malformed_message'],
    ['a frame over the limit', `"${'x'.repeat(5000)}"`, 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'],
  ];
  for (const [name, frame, code] of frames) {
    it(`${name} ends the link, not the process`, async () => {
      const two = await start(2);
      const socket = await impostor(mesh.port(2));
      await until('the link', () => two.events.length === 1);
      socket.send(frame);
      await until('its end', () => two.events.length === 2);
      assert.deepEqual(two.events, ['up 1', 'down 1 closed']);
      assert.deepEqual(two.messages, []);
      assert.ok(mesh.counts.includes(`2 lost ${code}`), mesh.counts.join(', '));
    });
  }

  it('invalid WebSocket frames and silent connections do no harm', async () => {
    const two = await start(2);
    const raw = connect(mesh.port(2), '127.0.0.1');
    const upgrade = ['Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
    raw.write(
      `GET ${peersPath} HTTP/1.1\r\n${upgrade.join('\r\n')}\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n`,
    );
    await once(raw, 'data');
    raw.write(Buffer.alloc(64, 0xff));
    await once(raw, 'close');
    await impostor(mesh.port(2), { open: () => ({ send: '{"type":"welcome"}' }), receive: () => ({}) });
    await until('the refusal', () => mesh.counts.includes('2 refused out_of_turn'));
    const hasty = await start(3, { limits: { handshakeTimeoutMs: 100 } });
    const quiet = new WebSocket(`ws://127.0.0.1:${mesh.port(3)}${peersPath}`);
    await once(quiet, 'close');
    await until('the timeout', () => mesh.counts.includes('3 refused handshake_timeout'));
    assert.deepEqual(
      two.events.concat(hasty.events).filter((line) => line.split(' ')[1] === '1'),
      [],
    );
  });

  it('too many handshakes at once are refused, and a node can still link afterwards', async () => {
    await start(2, { limits: { pendingHandshakesMax: 3 } });
    const strangers = Array.from(
      { length: 6 },
      () => new WebSocket(`ws://127.0.0.1:${mesh.port(2)}${peersPath}`),
    );
    strangers.forEach((socket) => socket.on('error', () => undefined));
    await until(
      'three turned away',
      () => mesh.counts.filter((line) => line === '2 refused busy').length === 3,
    );
    strangers.forEach((socket) => {
      socket.terminate();
    });
    const one = await start(1);
    await until('the node', () => one.links.connected().includes(2));
  });

  it('upgrades and requests for other paths on the same port are left alone', async () => {
    await start(2);
    const elsewhere = new WebSocket(`ws://127.0.0.1:${mesh.port(2)}/v1/other`);
    const [error] = (await once(elsewhere, 'error')) as [Error];
    assert.match(error.message, /404/);
    const page = await fetch(`http://127.0.0.1:${mesh.port(2)}/`);
    assert.equal(await page.text(), 'a page');
  });

  it('a node that was paused does not count its peers as dead', async () => {
    const [one, two] = await pair();
    // This process reads and sends nothing for longer than the silence timeout.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1200);
    one.links.send(2, { type: 'coordinator', epoch: 5 });
    await until('a message on the old link', () => two.messages.length === 1);
    assert.deepEqual([one.events, two.events], [['up 2'], ['up 1']]);
  });

  it('a message that was sent just before stop still arrives', async () => {
    const [one, two] = await pair();
    one.links.send(2, { type: 'released', epoch: 1, cause: 'yield' });
    await one.links.stop();
    await until('the end', () => two.events.length === 2);
    assert.deepEqual(two.messages, [{ type: 'released', epoch: 1, cause: 'yield' }]);
  });
});

interface Node {
  links: PeerLinks;
  events: string[];
  messages: PeerMessage[];
}

async function run(links: PeerLinks): Promise<Node> {
  const node: Node = { links, events: [], messages: [] };
  const handlers: PeerHandlers = {
    onPeerUp: (peer) => node.events.push(`up ${peer}`),
    onPeerDown: (peer, reason) => node.events.push(`down ${peer} ${reason}`),
    onMessage: (_, message) => node.messages.push(message),
  };
  await links.start(handlers);
  return node;
}
