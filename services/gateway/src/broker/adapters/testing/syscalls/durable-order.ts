/**
 * Checks the order of system calls that makes an acknowledged message durable (I1): its bytes are
 * written, a sync of the file begins after that and ends, the meta page that makes them part of the
 * store is written and is on the disk, and only then the PUBACK begins to leave.
 */
import mqtt from 'mqtt-packet';
import type { Activity, StoreWrite } from './activity.ts';

/** A PUBACK in the trace. */
export interface Acknowledgement {
  /** Number of the connection in the trace. */
  connection: number;
  messageId: number;
  /** Position at which its write began. */
  begin: number;
}

/** The PUBACKs of a trace, in the order in which they were sent. */
export function acknowledgementsIn({ sent }: Activity): Acknowledgement[] {
  const found: Acknowledgement[] = [];
  const parsers = new Map<number, ReturnType<typeof mqtt.parser>>();
  let begin = 0;
  for (const { connection, bytes, begin: at } of sent) {
    let parser = parsers.get(connection);
    if (parser === undefined) {
      parser = mqtt.parser({ protocolVersion: 4 });
      parser.on('packet', (packet) => {
        if (packet.cmd === 'puback') found.push({ connection, messageId: packet.messageId!, begin });
      });
      parsers.set(connection, parser);
    }
    begin = at;
    parser.parse(bytes);
  }
  return found;
}

/** What has to be on the disk before an acknowledgement. */
export interface Expected extends Acknowledgement {
  /** Bytes that stand in the message and nowhere else. */
  token: Buffer;
}

/**
 * Describes the first step that is missing or late for each acknowledgement; empty if all are in
 * order.
 */
export function violationsOfOrder(activity: Activity, expected: readonly Expected[]): string[] {
  const metaBytes = activity.writes.find(({ offset }) => offset === 0)?.bytes.length ?? 0;
  const data = activity.writes.filter(({ offset }) => offset >= metaBytes);
  const metas = activity.writes.filter(({ offset }) => offset > 0 && offset < metaBytes);
  return expected.flatMap(({ connection, messageId, begin, token }) => {
    const written = data.find(({ bytes }) => bytes.includes(token));
    const problem = written === undefined ? 'its bytes were never written' : late(written, begin);
    return problem === undefined ? [] : [`PUBACK ${messageId} on connection ${connection}: ${problem}`];
  });

  function late(written: StoreWrite, ackBegin: number): string | undefined {
    const meta = metas.find(({ begin }) => begin > written.end);
    if (meta === undefined || meta.begin > ackBegin) return 'the meta page was not written before it';
    const synced = activity.syncs.find(({ begin, end }) => begin > written.end && end < meta.begin);
    if (synced === undefined) return 'no sync came between its bytes and the meta page';
    const durableAt = meta.isSynchronous
      ? meta.end
      : (activity.syncs.find(({ begin }) => begin > meta.end)?.end ?? Infinity);
    return durableAt < ackBegin ? undefined : 'the meta page was not on the disk before it';
  }
}
