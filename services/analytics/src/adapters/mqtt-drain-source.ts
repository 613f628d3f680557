/** The one drain session at the gateway, as the coordinator holds it: messages in, PUBACKs out in receive order (I1). */
import {
  drainClientId,
  drainFilter,
  nodeUsername,
  readDrainMessage,
  type DrainMessage,
} from '@thermomesh/contracts';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { deriveToken, MeshError, subjects } from '@thermomesh/runtime';
import { toEntry, type Batch, type Entry } from '../core/batch.ts';
import { connectMqtt, type MqttAddress, type MqttConnection } from './mqtt-connection.ts';

export interface DrainSourceOptions {
  address: MqttAddress;
  nodeId: number;
  secret: string;
  epoch: number;
  timeoutMs: number;
  keepaliveSeconds: number;
  /** Received bytes that wait for a batch; above it the socket is paused. */
  queueBytesMax: number;
  /** Told of a message that is no drain message: the gateway and this node do not fit each other. */
  onFault: (error: unknown) => void;
}

export interface BatchLimits {
  rowsMax: number;
  bytesMax: number;
  lingerMs: number;
}

/** A batch and the packet ids that acknowledge it, in receive order. */
export interface ReceivedBatch {
  batch: Batch;
  packetIds: number[];
}

export interface DrainSource {
  readonly closed: Promise<void>;
  /** The next messages, at least one; undefined when the connection or the intake has ended. */
  next(limits: BatchLimits): Promise<ReceivedBatch | undefined>;
  /** Acknowledges: called after COMMIT, batch by batch in the order of `next`. */
  ack(packetIds: readonly number[]): void;
  /** Takes no more from the gateway: what `next` has not given out stays unacknowledged. */
  stopIntake(): void;
  /**
   * DISCONNECT, behind all acknowledgements; resolves when the gateway has read them, so that the successor is not sent again what
   * is committed. The session and its queue stay at the gateway.
   */
  end(signal: AbortSignal): Promise<void>;
  destroy(): void;
}

/** Connects to the drain session. @throws MeshError, retriable */
export async function openDrainSource(options: DrainSourceOptions): Promise<DrainSource> {
  const { connection, connack } = await connectMqtt({
    ...options.address,
    clientId: drainClientId,
    username: nodeUsername(options.nodeId, options.epoch),
    password: deriveToken(options.secret, subjects.node(options.nodeId)),
    clean: false,
    keepaliveSeconds: options.keepaliveSeconds,
    timeoutMs: options.timeoutMs,
  });
  // The backlog may follow the CONNACK at once: listen before anything else is awaited.
  const source = createSource(connection, options);
  if (!connack.sessionPresent) {
    const suback = connection.expect('suback', options.timeoutMs);
    connection.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: drainFilter, qos: 1 }] });
    const { granted } = await suback;
    if (granted[0] !== 1) {
      connection.destroy();
      throw new MeshError('mqtt.refused', `the gateway refused the subscription to ${drainFilter}`, {
        retriable: true,
      });
    }
  }
  return source;
}

/** A gateway that does not answer the end of a session within this time is waited for no longer. */
const endTimeoutMs = 1_000;

interface Received {
  log: Buffer;
  entry: Entry;
  packetId: number;
}

function createSource(
  connection: MqttConnection,
  { queueBytesMax, onFault }: DrainSourceOptions,
): DrainSource {
  let queue: Received[] = [];
  let queuedBytes = 0;
  let ended = false;
  let wake: (() => void) | undefined;
  let last: DrainMessage | undefined;

  connection.onPublish((topic, packetId, payload) => {
    let message: DrainMessage;
    try {
      message = follow(last, readDrainMessage(payload));
      last = message;
    } catch (error) {
      onFault(error);
      return connection.destroy();
    }
    queue.push({ log: message.log as Buffer, entry: toEntry(topic, message), packetId });
    queuedBytes += message.payload.length;
    if (queuedBytes > queueBytesMax) connection.socket.pause();
    wake?.();
  });
  const end = () => {
    ended = true;
    wake?.();
  };
  void connection.closed.then(end);

  /** Waits until `enough` is queued, the time is over, or the connection ends. */
  function wait(enough: () => boolean, timeoutMs: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = timeoutMs === undefined ? undefined : setTimeout(finish, timeoutMs);
      wake = () => {
        if (ended || enough()) finish();
      };
      function finish(): void {
        clearTimeout(timer);
        wake = undefined;
        resolve();
      }
      wake();
    });
  }

  return {
    closed: connection.closed,
    async next({ rowsMax, bytesMax, lingerMs }) {
      if (queue.length === 0) await wait(() => queue.length > 0, undefined);
      if (lingerMs > 0) await wait(() => queue.length >= rowsMax || queuedBytes >= bytesMax, lingerMs);
      if (ended || queue.length === 0) return undefined;
      const taken = take(queue, rowsMax, bytesMax);
      queue = queue.slice(taken.packetIds.length);
      queuedBytes -= taken.bytes;
      if (queuedBytes <= queueBytesMax / 2 && connection.socket.isPaused()) connection.socket.resume();
      return taken;
    },
    ack: (packetIds) => {
      if (connection.socket.writable) connection.socket.write(pubacks(packetIds));
    },
    stopIntake: () => {
      connection.socket.pause();
      end();
    },
    end: async (signal) => endSession(connection, signal),
    destroy: () => connection.destroy(),
  };
}

async function endSession(connection: MqttConnection, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  // A paused socket would never see the gateway's end; what still arrives stays unacknowledged.
  connection.onPublish(() => undefined);
  connection.end();
  connection.socket.resume();
  await Promise.race([
    connection.closed,
    once(signal, 'abort'),
    sleep(endTimeoutMs, undefined, { ref: false }),
  ]);
}

/** On one connection every message follows on the one before. @throws RangeError if not: one of them was lost on the way (I1) */
function follow(last: DrainMessage | undefined, message: DrainMessage): DrainMessage {
  if (
    last !== undefined &&
    Buffer.compare(last.log, message.log) === 0 &&
    message.previousLogId !== last.logId
  ) {
    throw new RangeError(
      `message ${message.logId} follows ${message.previousLogId} at the gateway, but ${last.logId} came before it`,
    );
  }
  return message;
}

/** The head of the queue within the limits; a batch holds messages of one gateway store only. */
function take(
  queue: readonly Received[],
  rowsMax: number,
  bytesMax: number,
): ReceivedBatch & { bytes: number } {
  const log = queue[0]!.log;
  const entries: Entry[] = [];
  const packetIds: number[] = [];
  let bytes = 0;
  for (const received of queue) {
    const size = received.entry.raw.length;
    const full = entries.length === rowsMax || (entries.length > 0 && bytes + size > bytesMax);
    if (full || !received.log.equals(log)) break;
    entries.push(received.entry);
    packetIds.push(received.packetId);
    bytes += size;
  }
  return { batch: { log, entries }, packetIds, bytes };
}

/** PUBACK packets are four bytes each: 0x40, 2, the packet id. */
function pubacks(packetIds: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(packetIds.length * 4);
  packetIds.forEach((packetId, index) => {
    bytes.writeUInt16BE(0x4002, index * 4);
    bytes.writeUInt16BE(packetId, index * 4 + 2);
  });
  return bytes;
}
