import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { acceptHandshake, dialHandshake, type Handshake, type Turn } from './handshake.ts';

const tokens = (mesh: string) => (nodeId: number) => `token of node ${nodeId} in mesh ${mesh}`;
const known = (peer: number) => peer === 1 || peer === 2;

/** Runs a handshake until one end is done or refuses; returns the last turns and every frame. */
function exchange(
  dialler: Handshake,
  acceptor: Handshake,
): { dialler: Turn; acceptor: Turn; frames: string[] } {
  let [one, two]: [Turn, Turn] = [dialler.open(), {}];
  const frames: string[] = [];
  for (let turns = 0; turns < 4; turns++) {
    if (one.send !== undefined) {
      frames.push(one.send);
      two = acceptor.receive(one.send);
    }
    if (one.refuse ?? two.refuse) break;
    if (two.send !== undefined) {
      frames.push(two.send);
      one = dialler.receive(two.send);
    }
    if (one.peer !== undefined || one.refuse !== undefined) break;
  }
  return { dialler: one, acceptor: two, frames };
}

describe('the handshake', () => {
  it('the handshake proves each end to the other', () => {
    const end = exchange(dialHandshake(1, 3, tokens('a')), acceptHandshake(3, known, tokens('a')));
    assert.equal(end.dialler.peer, 3);
    assert.equal(end.acceptor.peer, 1);
  });

  it('no frame of the handshake contains a token', () => {
    const { frames } = exchange(dialHandshake(1, 3, tokens('a')), acceptHandshake(3, known, tokens('a')));
    assert.equal(frames.length, 4);
    assert.ok(frames.every((frame) => !frame.includes('token of node')));
  });

  it('a dialler of another mesh refuses the acceptor before it sends a proof', () => {
    const end = exchange(dialHandshake(1, 3, tokens('b')), acceptHandshake(3, known, tokens('a')));
    assert.equal(end.dialler.refuse, 'bad_proof');
    assert.equal(end.acceptor.peer, undefined);
    assert.ok(end.frames.every((frame) => !frame.includes('"type":"proof"')));
  });

  it('a dialler that knows only its own token is refused as another node', () => {
    const thief = (nodeId: number) => (nodeId === 2 ? tokens('b')(2) : tokens('a')(nodeId));
    const end = exchange(dialHandshake(2, 3, thief), acceptHandshake(3, known, tokens('a')));
    assert.equal(end.acceptor.refuse, 'bad_proof');
  });

  it('a recorded handshake replayed to the acceptor is refused', () => {
    const { frames } = exchange(dialHandshake(1, 3, tokens('a')), acceptHandshake(3, known, tokens('a')));
    const acceptor = acceptHandshake(3, known, tokens('a'));
    acceptor.receive(frames[0] ?? '');
    assert.equal(acceptor.receive(frames[2] ?? '').refuse, 'bad_proof');
  });

  it('the acceptor’s own proof sent back to it is refused', () => {
    const acceptor = acceptHandshake(3, known, tokens('a'));
    const hello = dialHandshake(1, 3, tokens('a')).open().send ?? '';
    const challenge = JSON.parse(acceptor.receive(hello).send ?? '') as { proof: string };
    assert.equal(
      acceptor.receive(JSON.stringify({ type: 'proof', proof: challenge.proof })).refuse,
      'bad_proof',
    );
  });

  it('unknown peers, wrong addressees and frames out of turn are refused', () => {
    const hello = (from: number, to: number) => dialHandshake(from, to, tokens('a')).open().send ?? '';
    const accept = () => acceptHandshake(3, known, tokens('a'));
    assert.equal(accept().receive(hello(7, 3)).refuse, 'unknown_peer');
    assert.equal(accept().receive(hello(1, 4)).refuse, 'unknown_peer');
    assert.equal(accept().receive('{"type":"welcome"}').refuse, 'out_of_turn');
    assert.equal(dialHandshake(1, 3, tokens('a')).receive('{"type":"welcome"}').refuse, 'out_of_turn');
    const twice = accept();
    twice.receive(hello(1, 3));
    assert.equal(twice.receive(hello(1, 3)).refuse, 'out_of_turn');
  });

  it('the handshake refuses any other text without an exception', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        assert.notEqual(acceptHandshake(3, known, tokens('a')).receive(text).refuse, undefined);
        assert.notEqual(dialHandshake(1, 3, tokens('a')).receive(text).refuse, undefined);
      }),
    );
  });
});
