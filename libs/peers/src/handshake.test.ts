import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { acceptHandshake, dialHandshake, type Handshake, type Turn } from './handshake.ts';

const tokens = (mesh: string) => (nodeId: number) => `token of node ${nodeId} in mesh ${mesh}`;
const known = (peer: number) => peer === 1 || peer === 2;

/** Lets two ends talk until one is done or refuses; returns what each said last and every frame. */
function talk(dialler: Handshake, acceptor: Handshake): { dialler: Turn; acceptor: Turn; frames: string[] } {
  let [one, two]: [Turn, Turn] = [dialler.open(), {}];
  const frames: string[] = [];
  for (let turns = 0; turns < 4; turns++) {
    if (one.send !== undefined) {
      frames.push(one.send);
      two = acceptor.hear(one.send);
    }
    if (one.refuse ?? two.refuse) break;
    if (two.send !== undefined) {
      frames.push(two.send);
      one = dialler.hear(two.send);
    }
    if (one.peer !== undefined || one.refuse !== undefined) break;
  }
  return { dialler: one, acceptor: two, frames };
}

describe('the handshake', () => {
  it('proves each end to the other', () => {
    const end = talk(dialHandshake(1, 3, tokens('a')), acceptHandshake(3, known, tokens('a')));
    assert.equal(end.dialler.peer, 3);
    assert.equal(end.acceptor.peer, 1);
  });

  it('never shows a token', () => {
    const { frames } = talk(dialHandshake(1, 3, tokens('a')), acceptHandshake(3, known, tokens('a')));
    assert.equal(frames.length, 4);
    assert.ok(frames.every((frame) => !frame.includes('token of node')));
  });

  it('a dialler of another mesh shows no proof: it refuses the acceptor first', () => {
    const end = talk(dialHandshake(1, 3, tokens('b')), acceptHandshake(3, known, tokens('a')));
    assert.equal(end.dialler.refuse, 'bad_proof');
    assert.equal(end.acceptor.peer, undefined);
    assert.ok(end.frames.every((frame) => !frame.includes('"type":"proof"')));
  });

  it('a dialler that knows only its own token is refused as another node', () => {
    const thief = (nodeId: number) => (nodeId === 2 ? tokens('b')(2) : tokens('a')(nodeId));
    const end = talk(dialHandshake(2, 3, thief), acceptHandshake(3, known, tokens('a')));
    assert.equal(end.acceptor.refuse, 'bad_proof');
  });

  it('a recorded talk replayed to the acceptor proves nothing', () => {
    const { frames } = talk(dialHandshake(1, 3, tokens('a')), acceptHandshake(3, known, tokens('a')));
    const acceptor = acceptHandshake(3, known, tokens('a'));
    acceptor.hear(frames[0] ?? '');
    assert.equal(acceptor.hear(frames[2] ?? '').refuse, 'bad_proof');
  });

  it('the acceptor’s own proof sent back to it proves nothing', () => {
    const acceptor = acceptHandshake(3, known, tokens('a'));
    const hello = dialHandshake(1, 3, tokens('a')).open().send ?? '';
    const challenge = JSON.parse(acceptor.hear(hello).send ?? '') as { proof: string };
    assert.equal(
      acceptor.hear(JSON.stringify({ type: 'proof', proof: challenge.proof })).refuse,
      'bad_proof',
    );
  });

  it('refuses strangers, wrong addressees, and frames out of turn', () => {
    const hello = (from: number, to: number) => dialHandshake(from, to, tokens('a')).open().send ?? '';
    const accept = () => acceptHandshake(3, known, tokens('a'));
    assert.equal(accept().hear(hello(7, 3)).refuse, 'unknown_peer');
    assert.equal(accept().hear(hello(1, 4)).refuse, 'unknown_peer');
    assert.equal(accept().hear('{"type":"welcome"}').refuse, 'out_of_turn');
    assert.equal(dialHandshake(1, 3, tokens('a')).hear('{"type":"welcome"}').refuse, 'out_of_turn');
    const twice = accept();
    twice.hear(hello(1, 3));
    assert.equal(twice.hear(hello(1, 3)).refuse, 'out_of_turn');
  });

  it('survives any text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        assert.notEqual(acceptHandshake(3, known, tokens('a')).hear(text).refuse, undefined);
        assert.notEqual(dialHandshake(1, 3, tokens('a')).hear(text).refuse, undefined);
      }),
    );
  });
});
