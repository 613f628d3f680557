/**
 * A commit group: the messages of one commit as one value of the store. It holds ready-made QoS 1
 * PUBLISH packets, so a backlog is delivered by writing slices of it to the socket.
 *
 * | bytes | field |
 * | ----: | --- |
 * | 0     | version, 1 |
 * | 1–4   | count, unsigned big-endian |
 * | 5–    | count × (log id − first log id, end of the packet), 32 bit unsigned big-endian |
 * | then  | the packets |
 *
 * The key holds the first log id, the count and the size of the value, so that counting messages
 * reads no values.
 */
import { drainHeaderBytes, readDrainMessage, writeDrainHeader } from '@thermomesh/contracts';
import { readNumber, writeNumber } from './keys.ts';
import { dupFlag, packetIdOf, publishBytes, readPublish, writePublishHead } from './mqtt-bytes.ts';

const version = 1;
const headBytes = 5;
const entryBytes = 8;

/** A message that a group will contain. */
export interface GroupMessage {
  logId: number;
  receivedAtMs: number;
  topic: string;
  payload: Uint8Array;
}

/** The contents of a group's key. */
export interface GroupKey {
  key: Buffer;
  firstLogId: number;
  count: number;
  /** Size of the value. */
  bytes: number;
}

/** A group that was read or has just been built. */
export interface Group extends GroupKey {
  value: Buffer;
  lastLogId: number;
}

/** Number of bytes that a message adds to its group, with its entry in the table. */
export function messageBytes(topic: string, payloadBytes: number, framed: boolean): number {
  const extra = framed ? drainHeaderBytes : 0;
  return entryBytes + publishBytes(Buffer.byteLength(topic), payloadBytes + extra);
}

/** The UUID of the store, and the log id of the drain session's message before the group. */
export interface DrainFrame {
  log: Uint8Array;
  previousLogId: number;
}

/**
 * Builds a group. Log ids must grow, and lie within 2^32 of the first.
 * @param frame data for the `thermomesh.drain.v1` header in front of each payload; undefined leaves
 *   payloads unchanged
 */
export function buildGroup(messages: readonly GroupMessage[], frame: DrainFrame | undefined): Group {
  const firstLogId = messages[0]!.logId;
  let bytes = headBytes;
  for (const { topic, payload } of messages)
    bytes += messageBytes(topic, payload.length, frame !== undefined);
  const value = Buffer.allocUnsafeSlow(bytes);
  value[0] = version;
  value.writeUInt32BE(messages.length, 1);
  let at = headBytes + messages.length * entryBytes;
  let entry = headBytes;
  let previousLogId = frame?.previousLogId ?? 0;
  for (const { logId, receivedAtMs, topic, payload } of messages) {
    const payloadBytes = payload.length + (frame === undefined ? 0 : drainHeaderBytes);
    at = writePublishHead(value, at, topic, Buffer.byteLength(topic), packetIdOf(logId), payloadBytes);
    if (frame !== undefined) {
      at = writeDrainHeader(value, at, { log: frame.log, logId, previousLogId, receivedAtMs });
    }
    previousLogId = logId;
    value.set(payload, at);
    at += payload.length;
    value.writeUInt32BE(logId - firstLogId, entry);
    value.writeUInt32BE(at, entry + 4);
    entry += entryBytes;
  }
  const key = groupKey(firstLogId, messages.length, bytes);
  return { key, firstLogId, count: messages.length, bytes, value, lastLogId: messages.at(-1)!.logId };
}

/** The key of a group in the store. */
export function groupKey(firstLogId: number, count: number, bytes: number): Buffer {
  const key = Buffer.allocUnsafe(16);
  writeNumber(key, 0, firstLogId);
  key.writeUInt32BE(count, 8);
  key.writeUInt32BE(bytes, 12);
  return key;
}

/** Reads a key. */
export function readGroupKey(key: Buffer): GroupKey {
  return { key, firstLogId: readNumber(key), count: key.readUInt32BE(8), bytes: key.readUInt32BE(12) };
}

/**
 * Reads a group from its key and value.
 * @throws RangeError if the value is of another version or does not fit the key
 */
export function readGroup(key: Buffer, value: Buffer): Group {
  const head = readGroupKey(key);
  if (value[0] !== version || value.length !== head.bytes || value.readUInt32BE(1) !== head.count) {
    throw new RangeError(`commit group ${head.firstLogId} does not fit its key`);
  }
  const group: Group = { ...head, value, lastLogId: 0 };
  group.lastLogId = logIdAt(group, head.count - 1);
  return group;
}

/** The log id of the message at `index`. */
export function logIdAt(group: Group, index: number): number {
  return group.firstLogId + group.value.readUInt32BE(headBytes + index * entryBytes);
}

/** The offset after the packet at `index`; −1 gives the offset of the first packet. */
export function packetEnd(group: Group, index: number): number {
  return index < 0
    ? headBytes + group.count * entryBytes
    : group.value.readUInt32BE(headBytes + index * entryBytes + 4);
}

/** The index of the first message with a log id above `logId`; `count` if there is none. */
export function indexAfter(group: Group, logId: number): number {
  let low = 0;
  let high = group.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (logIdAt(group, middle) > logId) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The packets from `from` up to `to` (exclusive), as a view. */
export function packets(group: Group, from: number, to: number): Buffer {
  return group.value.subarray(packetEnd(group, from - 1), packetEnd(group, to - 1));
}

/** A copy of {@link packets} with DUP set in each packet [MQTT-3.3.1-1]. */
export function packetsAgain(group: Group, from: number, to: number): Buffer {
  const base = packetEnd(group, from - 1);
  const copy = Buffer.from(packets(group, from, to));
  for (let index = from; index < to; index++) {
    const at = packetEnd(group, index - 1) - base;
    copy[at] = copy[at]! | dupFlag;
  }
  return copy;
}

/** Topic and original payload of one message. */
export function messageAt(group: Group, index: number, framed: boolean): { topic: string; payload: Buffer } {
  const { topic, payload } = readPublish(packets(group, index, index + 1));
  return { topic, payload: framed ? payload.subarray(drainHeaderBytes) : payload };
}

/** The log id of the drain session's message before a drain group; 0 if there was none. */
export function previousLogIdOf(group: Group): number {
  return readDrainMessage(readPublish(packets(group, 0, 1)).payload).previousLogId;
}

/** Time at which the first message after `logId` of a drain group came in, Unix ms. */
export function receivedAtOf(group: Group, logId: number): number {
  const index = Math.min(indexAfter(group, logId), group.count - 1);
  return readDrainMessage(readPublish(packets(group, index, index + 1)).payload).receivedAtMs;
}
