/**
 * Mutual authentication by challenge and response. Neither end ever sends its token. Each end
 * proves that it knows its token by an HMAC over both nonces, both node ids and its side, so that a
 * proof that an attacker records or provokes is useless in any other handshake.
 *
 *     dialler                              acceptor
 *       hello {from, to, nonce}   ──────▶
 *                                 ◀──────    challenge {nonce, proof}     the acceptor proves first
 *       proof {proof}             ──────▶
 *                                 ◀──────    welcome                      now both may send
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { NodeId } from '@thermomesh/election';
import { parseHandshakeFrame, type HandshakeFrame } from './messages.ts';

/**
 * The token of a node, derived from the mesh's secret (`deriveToken(secret, subjects.node(id))` of
 * libs/runtime).
 */
export type TokenOf = (nodeId: NodeId) => string;

/** The reason why a handshake was refused. */
export type RefusalReason = 'malformed' | 'unknown_peer' | 'bad_proof' | 'out_of_turn';

/**
 * What this end does after a frame. `peer` means that the peer has proved itself and the handshake
 * is complete; it excludes `refuse`.
 */
export interface Turn {
  send?: string;
  peer?: NodeId;
  refuse?: RefusalReason;
}

/** One end of a handshake in progress. */
export interface Handshake {
  /** The first turn; the acceptor sends nothing in it. */
  open(): Turn;
  /** Handles one frame of the other end. */
  receive(text: string): Turn;
}

/** Makes the end that dials `peer`. */
export function dialHandshake(self: NodeId, peer: NodeId, tokenOf: TokenOf): Handshake {
  const nonce = newNonce();
  let proved = false;
  return {
    open: () => sendTurn({ type: 'hello', version: 1, from: self, to: peer, nonce }),
    receive(text) {
      const frame = parseHandshakeFrame(text);
      if (frame === undefined) return { refuse: 'malformed' };
      if (frame.type === 'welcome' && proved) return { peer };
      if (frame.type !== 'challenge' || proved) return { refuse: 'out_of_turn' };
      const exchange = { dialler: self, acceptor: peer, nonces: [nonce, frame.nonce] as const };
      if (!equal(frame.proof, proofOf('acceptor', exchange, tokenOf(peer)))) return { refuse: 'bad_proof' };
      proved = true;
      return sendTurn({ type: 'proof', proof: proofOf('dialler', exchange, tokenOf(self)) });
    },
  };
}

/** Makes the end that accepts a connection from a node for which `mayDial` returns true. */
export function acceptHandshake(
  self: NodeId,
  mayDial: (peer: NodeId) => boolean,
  tokenOf: TokenOf,
): Handshake {
  const nonce = newNonce();
  let exchange: Exchange | undefined;
  return {
    open: () => ({}),
    receive(text) {
      const frame = parseHandshakeFrame(text);
      if (frame === undefined) return { refuse: 'malformed' };
      if (frame.type === 'hello' && exchange === undefined) {
        if (frame.to !== self || !mayDial(frame.from)) return { refuse: 'unknown_peer' };
        exchange = { dialler: frame.from, acceptor: self, nonces: [frame.nonce, nonce] };
        return sendTurn({ type: 'challenge', nonce, proof: proofOf('acceptor', exchange, tokenOf(self)) });
      }
      if (frame.type !== 'proof' || exchange === undefined) return { refuse: 'out_of_turn' };
      const { dialler } = exchange;
      if (!equal(frame.proof, proofOf('dialler', exchange, tokenOf(dialler)))) return { refuse: 'bad_proof' };
      return { ...sendTurn({ type: 'welcome' }), peer: dialler };
    },
  };
}

interface Exchange {
  dialler: NodeId;
  acceptor: NodeId;
  /** The nonce of the dialler, then that of the acceptor. */
  nonces: readonly [string, string];
}

/**
 * The proof contains the side, so that an attacker cannot send the proof of one end back to it as
 * the proof of the other end.
 */
function proofOf(side: 'dialler' | 'acceptor', exchange: Exchange, token: string): string {
  const text = ['thermomesh.peers.v1', side, exchange.dialler, exchange.acceptor, ...exchange.nonces].join(
    '\n',
  );
  return createHmac('sha256', token).update(text).digest('base64url');
}

function newNonce(): string {
  return randomBytes(32).toString('base64url');
}

/** The schema guarantees 43 characters for both. */
function equal(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

function sendTurn(frame: HandshakeFrame): Turn {
  return { send: JSON.stringify(frame) };
}
