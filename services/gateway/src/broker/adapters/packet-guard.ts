/**
 * Closes connections whose packets Aedes would accept, although MQTT 3.1.1 or our limits forbid it.
 */
import type { Client } from 'aedes';
import type { Packet } from 'mqtt-packet';
import { refuseIllFormedStrings, violationIn, type Parser } from './packet-rules.ts';
import type { RepeatedFilters } from './repeated-filters.ts';

/** Maximum size of a PUBLISH without its payload: topic, packet id and lengths. */
const publishOverheadBytes = 2048;

export interface PacketGuardOptions {
  publishBytesMax: number;
  /** Called when a packet announces too many bytes. */
  onTooLarge: () => void;
  /** Called when a packet breaks a rule of MQTT 3.1.1. */
  onViolation: (rule: string) => void;
  repeated: RepeatedFilters;
}

/** Guards one connection. */
export function guardPackets(client: Client, options: PacketGuardOptions): void {
  const parser = (client as unknown as { _parser: Parser })._parser;
  limitBytes(client, parser, options.publishBytesMax + publishOverheadBytes, options.onTooLarge);
  refuseIllFormedStrings(parser);
  passOnly(parser, options);
}

/**
 * Closes the connection as soon as a packet announces a length above the limit. Without this the
 * parser would gather up to 256 MiB.
 */
function limitBytes(client: Client, parser: Parser, bytesMax: number, onTooLarge: () => void): void {
  const parse = parser.parse.bind(parser);
  parser.parse = (chunk) => {
    const left = parse(chunk);
    if (parser.packet.length > bytesMax && !client.closed) {
      onTooLarge();
      client.conn.destroy();
    }
    return left;
  };
}

/**
 * Passes only packets without a violation to Aedes, and none after a DISCONNECT [MQTT-3.14.4-2]; an
 * error of the parser closes the connection.
 */
function passOnly(parser: Parser, { repeated, onViolation }: PacketGuardOptions): void {
  const [handle] = parser.listeners('packet') as ((packet: Packet) => void)[];
  parser.removeAllListeners('packet');
  parser.on('packet', (packet: Packet) => {
    const violation = violationIn(packet, parser._pos);
    if (violation !== undefined) {
      onViolation(violation);
      return void parser.emit('error', new Error(violation));
    }
    if (packet.cmd === 'disconnect') parser.removeAllListeners('packet');
    handle!.call(parser, packet.cmd === 'subscribe' ? repeated.forAedes(packet) : packet);
  });
}
