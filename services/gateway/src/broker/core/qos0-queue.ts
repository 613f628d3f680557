/**
 * Readings at QoS 0 that wait for the coordinator, in memory and bounded: they never use the store,
 * so they displace no reading at QoS 1 (ADR 0023).
 */

/** A reading as it came. */
export interface Qos0Reading {
  deviceId: string;
  payload: Buffer;
  receivedAtMs: number;
}

export interface Qos0Limits {
  messagesMax: number;
  bytesMax: number;
}

export interface Qos0Queue {
  /** False if the queue is full: the reading is dropped. */
  push(reading: Qos0Reading): boolean;
  /** Removes the oldest readings with at most `bytesMax` bytes of payload, but at least one. */
  take(bytesMax: number): Qos0Reading[];
  readonly length: number;
}

/** Makes an empty queue. */
export function createQos0Queue({ messagesMax, bytesMax }: Qos0Limits): Qos0Queue {
  let readings: Qos0Reading[] = [];
  let bytes = 0;
  return {
    push(reading) {
      if (readings.length >= messagesMax || bytes + reading.payload.length > bytesMax) return false;
      readings.push(reading);
      bytes += reading.payload.length;
      return true;
    },
    take(takeBytesMax) {
      let taken = 0;
      let size = 0;
      for (const { payload } of readings) {
        if (taken > 0 && size + payload.length > takeBytesMax) break;
        size += payload.length;
        taken += 1;
      }
      const first = readings.slice(0, taken);
      readings = readings.slice(taken);
      bytes -= size;
      return first;
    },
    get length() {
      return readings.length;
    },
  };
}
