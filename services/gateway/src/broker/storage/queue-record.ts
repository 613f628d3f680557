/**
 * The bytes of the tables `queue` and `inflight`. Values of `queue` begin with 1 byte for the kind.
 * A reference continues with 1 byte QoS, 4 bytes index and 16 bytes group key; an inline entry
 * continues with one serialised object.
 */
import { deserialize, serialize } from 'node:v8';
import type { GroupTable } from '../core/message-log.ts';

const drainKind = 1;
const otherKind = 2;
const inlineKind = 3;

/** A reference to message `index` of a group. */
export function encodeReference(table: GroupTable, qos: number, index: number, groupKey: Buffer): Buffer {
  const value = Buffer.allocUnsafe(6 + groupKey.length);
  value[0] = table === 'drain' ? drainKind : otherKind;
  value[1] = qos;
  value.writeUInt32BE(index, 2);
  groupKey.copy(value, 6);
  return value;
}

/** The table of the group that a reference names. */
export function tableOf(value: Buffer): GroupTable {
  return value[0] === drainKind ? 'drain' : 'other';
}

/** The index of a message in the group that a reference names. */
export function indexOf(value: Buffer): number {
  return value.readUInt32BE(2);
}

/** The key of the group that a reference names. */
export function groupKeyOf(value: Buffer): Buffer {
  return value.subarray(6);
}

/** True if a value holds its packet itself, and refers to no group. */
export function isInline(value: Buffer): boolean {
  return value[0] === inlineKind;
}

/** A packet that is not in the log, with the name that Aedes gives it. */
export function encodeInline(name: string, packet: object): Buffer {
  return Buffer.concat([Buffer.from([inlineKind]), serialize({ name, packet })]);
}

/** Reads {@link encodeInline}. */
export function decodeInline(value: Buffer): { name: string; packet: object } {
  return deserialize(value.subarray(1)) as { name: string; packet: object };
}

/** The QoS of a reference. */
export function qosOf(value: Buffer): 1 | 2 {
  return value[1] as 1 | 2;
}

/**
 * The value of the table `inflight`: the packet id of a sent entry, and whether its PUBREC came.
 */
export function encodeSent(messageId: number, released: boolean): Buffer {
  return Buffer.from([messageId >>> 8, messageId & 0xff, released ? 1 : 0]);
}

/** Reads {@link encodeSent}. */
export function decodeSent(value: Buffer): { messageId: number; released: boolean } {
  return { messageId: value.readUInt16BE(0), released: value[2] === 1 };
}
