/**
 * Mutual authentication by challenge and response. Neither end ever sends its token: each proves that it knows it by an HMAC
 * over both nonces, both names and its side, so that what a stranger records or provokes is of no use anywhere else.
 *
 *     dialler                              acceptor
 *       hello {from, to, nonce}   ──────▶
 *                                 ◀──────    challenge {nonce, proof}     the acceptor proves itself first
 *       proof {proof}             ──────▶
 *                                 ◀──────    welcome                      now both may speak
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { NodeId } from '@thermomesh/election';
import { parseHandshakeFrame, type HandshakeFrame } from './messages.ts';

/** The token of a node, derived from the mesh's secret (`deriveToken(secret, subjects.node(id))` of libs/runtime). */
export type TokenOf = (nodeId: NodeId) => string;

/** Why a handshake was ended. */
export type RefusalReason = 'malformed' | 'unknown_peer' | 'bad_proof' | 'out_of_turn';

/** What to do after a frame. At most one of `peer` (proved; done) and `refuse` is given. */
export interface Turn {
  send?: string;
  peer?: NodeId;
  refuse?: RefusalReason;
}

/** One end of a handshake under way. */
export interface Handshake {
  /** What this end says first, if it does. */
  open(): Turn;
  hear(text: string): Turn;
}

/** The end that dials `peer`. */
export function dialHandshake(self: NodeId, peer: NodeId, tokenOf: TokenOf): Handshake {
  const nonce = newNonce();
  let proved = false;
  return {
    open: () => say({ type: 'hello', version: 1, from: self, to: peer, nonce }),
    hear(text) {
      const frame = parseHandshakeFrame(text);
      if (frame === undefined) return { refuse: 'malformed' };
      if (frame.type === 'welcome' && proved) return { peer };
      if (frame.type !== 'challenge' || proved) return { refuse: 'out_of_turn' };
      const talk = { dialler: self, acceptor: peer, nonces: [nonce, frame.nonce] as const };
      if (!equal(frame.proof, proofOf('acceptor', talk, tokenOf(peer)))) return { refuse: 'bad_proof' };
      proved = true;
      return say({ type: 'proof', proof: proofOf('dialler', talk, tokenOf(self)) });
    },
  };
}

/** The end that is dialled, by one of the nodes for which `mayDial` holds. */
export function acceptHandshake(
  self: NodeId,
  mayDial: (peer: NodeId) => boolean,
  tokenOf: TokenOf,
): Handshake {
  const nonce = newNonce();
  let talk: Talk | undefined;
  return {
    open: () => ({}),
    hear(text) {
      const frame = parseHandshakeFrame(text);
      if (frame === undefined) return { refuse: 'malformed' };
      if (frame.type === 'hello' && talk === undefined) {
        if (frame.to !== self || !mayDial(frame.from)) return { refuse: 'unknown_peer' };
        talk = { dialler: frame.from, acceptor: self, nonces: [frame.nonce, nonce] };
        return say({ type: 'challenge', nonce, proof: proofOf('acceptor', talk, tokenOf(self)) });
      }
      if (frame.type !== 'proof' || talk === undefined) return { refuse: 'out_of_turn' };
      const { dialler } = talk;
      if (!equal(frame.proof, proofOf('dialler', talk, tokenOf(dialler)))) return { refuse: 'bad_proof' };
      return { ...say({ type: 'welcome' }), peer: dialler };
    },
  };
}

interface Talk {
  dialler: NodeId;
  acceptor: NodeId;
  /** The dialler's, the acceptor's. */
  nonces: readonly [string, string];
}

/** The side is part of it: what one end has proved cannot be sent back to it as the proof of the other. */
function proofOf(side: 'dialler' | 'acceptor', talk: Talk, token: string): string {
  const text = ['thermomesh.peers.v1', side, talk.dialler, talk.acceptor, ...talk.nonces].join('\n');
  return createHmac('sha256', token).update(text).digest('base64url');
}

function newNonce(): string {
  return randomBytes(32).toString('base64url');
}

/** Both are 43 characters by their schema. */
function equal(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

function say(frame: HandshakeFrame): Turn {
  return { send: JSON.stringify(frame) };
}
