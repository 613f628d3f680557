/** Schemas of the frames; any other frame ends the link. */
import type { PeerMessage } from '@thermomesh/election';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const NodeNumber = Type.Integer({ minimum: 1, maximum: 9999 });
const Base64 = Type.String({ minLength: 43, maxLength: 43, pattern: '^[A-Za-z0-9_-]+$' });

const message = <T extends string, P extends Type.TProperties>(type: T, properties: P) =>
  Type.Object({ type: Type.Literal(type), ...properties });

const Cause = Type.Union([Type.Literal('preempt'), Type.Literal('yield')]);
const ElectionMessage = Type.Union([
  message('election', { round: Count }),
  message('ok', { round: Count }),
  message('coordinator', { epoch: Count }),
  message('status', {
    fit: Type.Boolean(),
    coordinator: Type.Union([NodeNumber, Type.Null()]),
    epoch: Count,
  }),
  message('handover', { epoch: Count }),
  message('released', { epoch: Count, cause: Cause }),
  message('refused', { epoch: Count }),
]);

const HandshakeFrame = Type.Union([
  message('hello', { version: Type.Literal(1), from: NodeNumber, to: NodeNumber, nonce: Base64 }),
  message('challenge', { nonce: Base64, proof: Base64 }),
  message('proof', { proof: Base64 }),
  message('welcome', {}),
]);
/** The four frames of the handshake. */
export type HandshakeFrame = Static<typeof HandshakeFrame>;

const electionMessage = Compile(ElectionMessage);
const handshakeFrame = Compile(HandshakeFrame);

/** Parses a frame of an established link; undefined if it contains no message of the election. */
export function parsePeerMessage(text: string): PeerMessage | undefined {
  const value = parseJson(text);
  return electionMessage.Check(value) ? value : undefined;
}

/** Parses a frame of the handshake; undefined if it is not one. */
export function parseHandshakeFrame(text: string): HandshakeFrame | undefined {
  const value = parseJson(text);
  return handshakeFrame.Check(value) ? value : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // JSON has no undefined, so this fails every schema: the caller counts it as malformed.
    return undefined;
  }
}
