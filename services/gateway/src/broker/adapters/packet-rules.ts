/** Rules of MQTT 3.1.1 that neither Aedes nor the parser of mqtt-packet checks. */
import { isUtf8 } from 'node:buffer';
import type { EventEmitter } from 'node:events';
import type { IConnectPacket, Packet } from 'mqtt-packet';
import { isTopicFilter, isTopicName } from '../core/topic-tree.ts';

/** The parser of mqtt-packet, with the parts that are not public. */
export interface Parser extends EventEmitter {
  parse(chunk: Buffer): number;
  packet: { length: number };
  /** The offset in the present packet up to which the parser has read. */
  _pos: number;
  /** The bytes from the present packet on, without its fixed header. */
  _list: { slice(start: number, end: number): Buffer };
  /** Reads a string; null makes the packet malformed. */
  _parseString(): string | null;
}

/** Makes a packet malformed that has ill-formed UTF-8 or U+0000 in a string. */
export function refuseIllFormedStrings(parser: Parser): void {
  const parseString = parser._parseString.bind(parser);
  parser._parseString = () => {
    const start = parser._pos + 2;
    const text = parseString();
    if (text === null || text.includes('\0')) return null;
    // The parser has replaced ill-formed bytes by U+FFFD, which a client may also have sent.
    const isSuspect = text.includes('\uFFFD');
    return isSuspect && !isUtf8(parser._list.slice(start, parser._pos)) ? null : text;
  };
}

/** The rule that a packet breaks; `bytesRead` is the part of its body that the parser has read. */
export function violationIn(packet: Packet, bytesRead: number): string | undefined {
  switch (packet.cmd) {
    case 'connect':
      if (bytesRead !== packet.length) return 'bytes after the last field of a CONNECT [MQTT-3.1.4-1]';
      return violationInConnect(packet);
    case 'publish':
      if (packet.qos === 0 && packet.dup) return 'DUP at QoS 0 [MQTT-3.3.1-2]';
      return packet.qos > 0 && !isPacketId(packet.messageId) ? withoutId : undefined;
    case 'subscribe':
      if (!isPacketId(packet.messageId)) return withoutId;
      return violationInFilters(packet.subscriptions.map(({ topic }) => topic));
    case 'unsubscribe':
      if (!isPacketId(packet.messageId)) return withoutId;
      return violationInFilters(packet.unsubscriptions);
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return packet.length === 2 ? undefined : `a ${packet.cmd} of ${packet.length} bytes`;
    case 'pingreq':
    case 'disconnect':
      return packet.length === 0 ? undefined : `a ${packet.cmd} with a body`;
    default:
      return undefined;
  }
}

const withoutId = 'no packet id above 0 [MQTT-2.3.1-1]';

function violationInConnect({ will, username, password }: IConnectPacket): string | undefined {
  if (username === undefined && password !== undefined)
    return 'a password without a user name [MQTT-3.1.2-22]';
  if (will === undefined) return undefined;
  if ((will.qos as number) > 2) return 'a will with QoS 3 [MQTT-3.1.2-14]';
  return isTopicName(will.topic) ? undefined : 'a will on no topic name [MQTT-4.7.1-1]';
}

function violationInFilters(filters: readonly string[]): string | undefined {
  if (filters.length === 0) return 'no topic filter [MQTT-3.8.3-3] [MQTT-3.10.3-2]';
  return filters.every(isTopicFilter) ? undefined : 'a malformed topic filter [MQTT-4.7.1-2] [MQTT-4.7.1-3]';
}

/** False for 0, and for the -1 that the parser returns if the packet ends before its id. */
function isPacketId(messageId: number | undefined): boolean {
  return messageId !== undefined && messageId > 0;
}
