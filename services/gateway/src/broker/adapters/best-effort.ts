/**
 * What the gateway passes to the coordinator beside the promises (ADR 0023): readings at QoS 0, if
 * the fleet's owner has them stored, and reports about devices. Both go over the connection of the
 * drain session at QoS 0 whenever no accepted message waits to be sent, so they hold up none.
 */
import type { Socket } from 'node:net';
import {
  bestEffortFilter,
  bestEffortTopic,
  drainDevicesTopic,
  drainHeaderBytes,
  writeDrainHeader,
} from '@thermomesh/contracts';
import mqtt from 'mqtt-packet';
import { createDeviceNotices } from '../core/device-notices.ts';
import { createQos0Queue, type Qos0Limits } from '../core/qos0-queue.ts';
import type { PublishNotices } from './publish-gate.ts';

/** Unsent bytes of the connection above which nothing of this is written. */
const socketBytesMax = 64 * 1024;
/** Maximum number of devices in one report. */
const reportDevicesMax = 500;

export interface BestEffortOptions {
  mode: 'relay' | 'store';
  limits: Qos0Limits;
  /** UUID of the store, for the header of the messages. */
  log: Uint8Array;
  reportIntervalMs: number;
  now: () => number;
  onDropped: () => void;
  /** Called soon after something was added that can be sent. */
  onReading: () => void;
}

/** What connections of the drain session need. */
export interface BestEffortSource {
  /** True for a filter by which a coordinator asks for some of this. */
  offers(filter: string): boolean;
  /** Serves one connection. */
  feed(socket: Socket): BestEffortFeed;
}

/** The part of one connection. */
export interface BestEffortFeed {
  /** The coordinator asks for what the filter names. */
  ask(filter: string): void;
  /** Sends readings; called only when no accepted message waits to be sent. */
  pump(): void;
  end(): void;
}

export interface BestEffort extends PublishNotices, BestEffortSource {
  readonly mode: 'relay' | 'store';
  readonly waiting: number;
  readonly dropped: number;
}

/** Makes the queue and the notices of one gateway. */
export function createBestEffort(options: BestEffortOptions): BestEffort {
  const { mode, now, log } = options;
  const notices = createDeviceNotices(now);
  const queue = createQos0Queue(options.limits);
  let dropped = 0;
  let scheduled = false;

  function wakeSoon(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      options.onReading();
    });
  }

  function feed(socket: Socket): BestEffortFeed {
    let wantsReadings = false;
    let timer: NodeJS.Timeout | undefined;
    const hasRoom = () => socket.writable && socket.writableLength < socketBytesMax;
    function report(): void {
      const taken = hasRoom() ? notices.take(reportDevicesMax) : undefined;
      if (taken !== undefined) socket.write(publish(drainDevicesTopic, JSON.stringify(taken)));
    }
    return {
      ask(filter) {
        if (filter === bestEffortFilter) wantsReadings = true;
        if (filter === drainDevicesTopic) timer ??= setInterval(report, options.reportIntervalMs);
      },
      pump() {
        while (wantsReadings && queue.length > 0 && hasRoom()) {
          for (const { deviceId, payload, receivedAtMs } of queue.take(socketBytesMax)) {
            const framed = Buffer.allocUnsafe(drainHeaderBytes + payload.length);
            writeDrainHeader(framed, 0, { log, logId: 0, previousLogId: 0, receivedAtMs });
            framed.set(payload, drainHeaderBytes);
            socket.write(publish(bestEffortTopic(deviceId), framed));
          }
        }
      },
      end: () => clearInterval(timer),
    };
  }

  return {
    mode,
    get waiting() {
      return queue.length;
    },
    get dropped() {
      return dropped;
    },
    refused: (deviceId, refusal) => notices.refused(deviceId, refusal),
    qos0Reading(deviceId, payload) {
      if (mode === 'relay') return notices.notStored(deviceId, 'relayed');
      // A copy, because the payload is a view of everything that was read with it.
      if (queue.push({ deviceId, payload: Buffer.from(payload), receivedAtMs: now() })) return wakeSoon();
      dropped += 1;
      options.onDropped();
      notices.notStored(deviceId, 'dropped');
    },
    offers: (filter) => filter === bestEffortFilter || filter === drainDevicesTopic,
    feed,
  };
}

function publish(topic: string, payload: string | Buffer): Buffer {
  return mqtt.generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false });
}
