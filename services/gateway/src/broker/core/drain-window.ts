/**
 * The messages that the drain session has been sent and has not acknowledged, in send order with
 * their packet ids.
 */
import { logIdAt, packetEnd, type Group } from './group.ts';
import { packetIdOf, packetIdsMax } from './mqtt-bytes.ts';

/** Maximum number and size of the messages in flight. */
export interface WindowLimits {
  messagesMax: number;
  bytesMax: number;
}

/** Messages of a group, from `from` up to `to` (exclusive), sent and not yet acknowledged. */
interface Segment {
  group: Group;
  from: number;
  to: number;
}

/** The result of a series of acknowledgements. */
export interface Settled {
  /** Log id up to which all messages are acknowledged. */
  logId: number;
  /** Number of messages acknowledged since the last result. */
  count: number;
  /** Groups whose last message is acknowledged. */
  finished: Group[];
}

/** The window of one connection. */
export interface DrainWindow {
  /** Number of messages in flight. */
  readonly inFlight: number;
  /** Number of messages of `group`, from `index` on, that may be sent now. */
  room(group: Group, index: number): number;
  /** Records that messages have been sent, at least one. */
  sent(group: Group, from: number, to: number): void;
  /** Takes one PUBACK; false if it is not the next one in send order [MQTT-4.6.0-2]. */
  acknowledge(packetId: number): boolean;
  /** The acknowledgements since the last call; undefined if there were none. */
  settle(): Settled | undefined;
}

/** Makes an empty window. */
export function createDrainWindow({ messagesMax, bytesMax }: WindowLimits): DrainWindow {
  const segments: Segment[] = [];
  /** Index of the first unfinished segment; the ones before it are removed in bulk. */
  let first = 0;
  let inFlight = 0;
  let bytes = 0;
  let settled: Settled = { logId: 0, count: 0, finished: [] };

  function bytesOf(group: Group, from: number, to: number): number {
    return packetEnd(group, to - 1) - packetEnd(group, from - 1);
  }

  return {
    get inFlight() {
      return inFlight;
    },
    room(group, index) {
      const oldest = segments[first];
      const oldestLogId = oldest === undefined ? logIdAt(group, index) : logIdAt(oldest.group, oldest.from);
      let taken = 0;
      while (index + taken < group.count && inFlight + taken < messagesMax) {
        // Two messages in flight never share a packet id [MQTT-2.3.1-4].
        if (logIdAt(group, index + taken) - oldestLogId >= packetIdsMax) break;
        const size = bytes + bytesOf(group, index, index + taken + 1);
        // A single message of any size may be sent, or it would never leave.
        if (size > bytesMax && inFlight + taken > 0) break;
        taken += 1;
      }
      return taken;
    },
    sent(group, from, to) {
      segments.push({ group, from, to });
      inFlight += to - from;
      bytes += bytesOf(group, from, to);
    },
    acknowledge(packetId) {
      const segment = segments[first];
      if (segment === undefined) return false;
      const { group, from, to } = segment;
      const logId = logIdAt(group, from);
      if (packetIdOf(logId) !== packetId) return false;
      settled.logId = logId;
      settled.count += 1;
      inFlight -= 1;
      bytes -= bytesOf(group, from, from + 1);
      segment.from += 1;
      if (segment.from === to) {
        if (to === group.count) settled.finished.push(group);
        first += 1;
        if (first > 1024) segments.splice(0, first);
        if (first > 1024) first = 0;
      }
      return true;
    },
    settle() {
      if (settled.count === 0) return undefined;
      const result = settled;
      settled = { logId: result.logId, count: 0, finished: [] };
      return result;
    },
  };
}
