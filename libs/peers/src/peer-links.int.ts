import assert from 'node:assert/strict';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { NodeId, PeerHandlers, PeerMessage } from '@thermomesh/election';
import { until } from '@thermomesh/election/conformance';
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
    await until(() => one.links.connected().includes(2) && two.links.connected().includes(1), 'the link');
    return [one, two];
  }

  /** A socket that speaks for node 1, up to and including the handshake. */
  async function impostor(
    port: number,
    handshake: Handshake = dialHandshake(1, 2, tokenOf),
  ): Promise<WebSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${peersPath}`);
    socket.on('error', () => undefined);
    await once(socket, 'open');
    const proved = new Promise<void>((resolve) => {
      socket.on('message', (data: Buffer) => {
        const turn = handshake.hear(data.toString());
        if (turn.send !== undefined) socket.send(turn.send);
        if (turn.peer !== undefined) resolve();
      });
    });
    socket.send(handshake.open().send ?? '');
    await Promise.race([proved, once(socket, 'close')]);
    return socket;
  }

  it('a broken connection is noticed at once, at both ends, and comes back', async () => {
    const [one, two] = await pair();
    mesh.proxy(1, 2).sever();
    await until(() => one.said.length >= 2 && two.said.length >= 2, 'both downs');
    assert.deepEqual([one.said[1], two.said[1]], ['down 2 closed', 'down 1 closed']);
    await until(
      () => one.links.connected().length === 1 && two.links.connected().length === 1,
      'the link again',
    );
  });

  it('a peer that hangs is noticed although its socket stays open', async () => {
    const [one, two] = await pair();
    mesh.proxy(1, 2).freeze();
    await until(() => one.said.length >= 2 && two.said.length >= 2, 'both downs');
    assert.deepEqual([one.said[1], two.said[1]], ['down 2 silent', 'down 1 silent']);
  });

  it('a peer that proves itself and then stops reading is noticed', async () => {
    const two = await start(2);
    const socket = await impostor(mesh.port(2));
    await until(() => two.links.connected().includes(1), 'the impostor’s link');
    socket.pause();
    await until(() => two.said.length === 2, 'the silence');
    assert.equal(two.said[1], 'down 1 silent');
    socket.terminate();
  });

  it('a server that accepts and never answers holds nobody up for longer than the handshake may take', async () => {
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
    await until(() => held.length >= 2, 'a second dial');
    assert.deepEqual(one.said, []);
    for (const socket of held) socket.destroy();
    server.close();
  });

  it('a wrong secret is refused both ways', async () => {
    const stranger = await start(2, { secret: 'another secret that is long enough too' });
    const [one, three] = [await start(1), await start(3)];
    await until(() => one.links.connected().includes(3), 'the link of those who belong together');
    await until(() => mesh.counts.includes('1 refused bad_proof'), '1 refuses what it dialled');
    await until(() => mesh.counts.includes('2 refused bad_proof'), '2, dialling 3, refuses it');
    assert.deepEqual(stranger.said, []);
    assert.deepEqual(three.said, ['up 1']);
    // One that does not care what the acceptor proves, and dials all the same, is refused by the acceptor.
    const wrong = (node: NodeId) => (node === 1 ? 'x'.repeat(43) : tokenOf(node));
    const socket = await impostor(mesh.port(3), dialHandshake(1, 3, wrong));
    await until(() => mesh.counts.includes('3 refused bad_proof'), '3 refuses who dialled it');
    assert.notEqual(socket.readyState, WebSocket.OPEN);
    assert.deepEqual(three.said, ['up 1']);
  });

  it('an acceptor that cannot prove itself learns nothing that it could use', async () => {
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
        socket.send(thief.hear(data.toString()).send ?? '');
      });
    });
    const url = `http://127.0.0.1:${(trap.address() as AddressInfo).port}`;
    const log = createLog('node-1', 'silent');
    const links = createPeerLinks({ nodeId: 1, peers: [{ nodeId: 2, url }], token: tokenOf, log });
    running.push(links);
    await run(links);
    await until(() => seen.length >= 2, 'two dials');
    assert.ok(seen.every((frame) => frame.includes('"hello"') && !frame.includes(tokenOf(1))));
    assert.deepEqual(one.said, []);
    trap.close();
    for (const client of trap.clients) client.terminate();
  });

  it('a restarted peer is linked again, whichever of the two it is', async () => {
    const [one, two] = await pair();
    await two.links.stop();
    const again = await start(2);
    await until(
      () => one.links.connected().includes(2) && again.said.length === 1,
      'the dialled end is back',
    );
    await one.links.stop();
    const dialler = await start(1);
    await until(
      () => again.said.length === 3 && dialler.links.connected().includes(2),
      'the dialling end is back',
    );
    assert.deepEqual(again.said, ['up 1', 'down 1 closed', 'up 1']);
  });

  it('a newer link of the same peer takes the place of the older one', async () => {
    const two = await start(2);
    const first = await impostor(mesh.port(2));
    const second = await impostor(mesh.port(2));
    await until(() => two.said.length === 3, 'the replacement');
    assert.deepEqual(two.said, ['up 1', 'down 1 replaced', 'up 1']);
    second.send('{"type":"coordinator","epoch":4}');
    await until(() => two.heard.length === 1, 'a message on the newer link');
    await until(() => first.readyState === WebSocket.CLOSED, 'the end of the older one');
    second.terminate();
  });

  const frames: [name: string, frame: string | Buffer, fault: string][] = [
    ['text that is not JSON', 'hello?', 'malformed_message'],
    ['JSON that is no message', '{"type":"coordinator","epoch":"many"}', 'malformed_message'],
    ['a binary frame', Buffer.from('{"type":"coordinator","epoch":1}'), 'malformed_message'],
    ['a frame over the limit', `"${'x'.repeat(5000)}"`, 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'],
  ];
  for (const [name, frame, fault] of frames) {
    it(`${name} ends the link, not the process`, async () => {
      const two = await start(2);
      const socket = await impostor(mesh.port(2));
      await until(() => two.said.length === 1, 'the link');
      socket.send(frame);
      await until(() => two.said.length === 2, 'its end');
      assert.deepEqual(two.said, ['up 1', 'down 1 closed']);
      assert.deepEqual(two.heard, []);
      assert.ok(mesh.counts.includes(`2 lost ${fault}`), mesh.counts.join(', '));
    });
  }

  it('bytes that are no WebSocket frame, and strangers who say nothing, do no harm', async () => {
    const two = await start(2);
    const raw = connect(mesh.port(2), '127.0.0.1');
    const upgrade = ['Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
    raw.write(
      `GET ${peersPath} HTTP/1.1\r\n${upgrade.join('\r\n')}\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n`,
    );
    await once(raw, 'data');
    raw.write(Buffer.alloc(64, 0xff));
    await once(raw, 'close');
    await impostor(mesh.port(2), { open: () => ({ send: '{"type":"welcome"}' }), hear: () => ({}) });
    await until(() => mesh.counts.includes('2 refused out_of_turn'), 'the refusal');
    const hasty = await start(3, { limits: { handshakeTimeoutMs: 100 } });
    const quiet = new WebSocket(`ws://127.0.0.1:${mesh.port(3)}${peersPath}`);
    await once(quiet, 'close');
    await until(() => mesh.counts.includes('3 refused handshake_timeout'), 'the timeout');
    assert.deepEqual(
      two.said.concat(hasty.said).filter((line) => line.split(' ')[1] === '1'),
      [],
    );
  });

  it('too many strangers at once are turned away, and a node is still let in afterwards', async () => {
    await start(2, { limits: { pendingHandshakesMax: 3 } });
    const strangers = Array.from(
      { length: 6 },
      () => new WebSocket(`ws://127.0.0.1:${mesh.port(2)}${peersPath}`),
    );
    strangers.forEach((socket) => socket.on('error', () => undefined));
    await until(
      () => mesh.counts.filter((line) => line === '2 refused busy').length === 3,
      'three turned away',
    );
    strangers.forEach((socket) => {
      socket.terminate();
    });
    const one = await start(1);
    await until(() => one.links.connected().includes(2), 'the node');
  });

  it('other paths and other pages of the same port are left alone', async () => {
    await start(2);
    const elsewhere = new WebSocket(`ws://127.0.0.1:${mesh.port(2)}/v1/other`);
    const [error] = (await once(elsewhere, 'error')) as [Error];
    assert.match(error.message, /404/);
    const page = await fetch(`http://127.0.0.1:${mesh.port(2)}/`);
    assert.equal(await page.text(), 'a page');
  });

  it('a node that has slept does not take its peers for dead', async () => {
    const [one, two] = await pair();
    // Nothing is read or sent by this process for longer than the time after which silence is death.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1200);
    one.links.send(2, { type: 'coordinator', epoch: 5 });
    await until(() => two.heard.length === 1, 'a message on the old link');
    assert.deepEqual([one.said, two.said], [['up 2'], ['up 1']]);
  });

  it('what was sent just before stop still arrives', async () => {
    const [one, two] = await pair();
    one.links.send(2, { type: 'released', epoch: 1, cause: 'yield' });
    await one.links.stop();
    await until(() => two.said.length === 2, 'the end');
    assert.deepEqual(two.heard, [{ type: 'released', epoch: 1, cause: 'yield' }]);
  });
});

interface Node {
  links: PeerLinks;
  said: string[];
  heard: PeerMessage[];
}

async function run(links: PeerLinks): Promise<Node> {
  const node: Node = { links, said: [], heard: [] };
  const handlers: PeerHandlers = {
    onPeerUp: (peer) => node.said.push(`up ${peer}`),
    onPeerDown: (peer, reason) => node.said.push(`down ${peer} ${reason}`),
    onMessage: (_, message) => node.heard.push(message),
  };
  await links.start(handlers);
  return node;
}
