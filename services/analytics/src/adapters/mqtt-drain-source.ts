/**
 * The coordinator's end of the drain session at the gateway: it receives messages and sends PUBACKs
 * in receive order (I1). There is one such session.
 */
import {
  bestEffortFilter,
  deviceOfBestEffortTopic,
  DevicesReport,
  drainClientId,
  drainDatabaseTopic,
  drainDevicesTopic,
  drainFilter,
  drainLogTopic,
  DrainLogState,
  drainResendTopic,
  isDocument,
  nodeUsername,
  readDrainMessage,
  type DrainMessage,
  type TimeLimits,
} from '@thermomesh/contracts';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { deriveToken, raceTimeout, subjects } from '@thermomesh/runtime';
import { toEntry, type Entry } from '../core/batch.ts';
import { analyticsError } from '../core/errors.ts';
import type { PlausibleLimits } from '../core/plausibility.ts';
import { toBestEffortEntry } from '../core/best-effort.ts';
import type { BatchLimits, BestEffortListener, DrainSource, ReceivedBatch } from '../core/ports.ts';
import { connectMqtt, type MqttAddress, type MqttConnection } from './mqtt-connection.ts';

export interface DrainSourceOptions {
  address: MqttAddress;
  nodeId: number;
  secret: string;
  epoch: number;
  timeoutMs: number;
  keepaliveSeconds: number;
  /** Maximum number of received bytes that wait for a batch; above it the socket is paused. */
  queueBytesMax: number;
  /** The times at which a reading may be measured. */
  times: TimeLimits;
  /** The values that a sensor can measure; default: those of rooms. */
  plausible?: PlausibleLimits;
  /**
   * Called for a message that is not a valid drain message: this node does not understand the
   * gateway's version. The connection is closed.
   */
  onInvalid: (error: unknown) => void;
}

/** Connects to the drain session. @throws MeshError `mqtt.*`, retriable */
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
  // The backlog may follow the CONNACK at once, so the source listens before the next await.
  const source = createSource(connection, options);
  if (!connack.sessionPresent) {
    const suback = connection.expect('suback', options.timeoutMs);
    connection.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: drainFilter, qos: 1 }] });
    const { granted } = await suback;
    if (granted[0] !== 1) {
      connection.destroy();
      throw analyticsError('mqtt.refused', `the gateway refused the subscription to ${drainFilter}`);
    }
  }
  try {
    const logState = await askForLogState(connection, options.timeoutMs);
    const log = logState?.log;
    const ask = async (topic: string, document: object) =>
      publishOn(connection, topic, { log, ...document }, options.timeoutMs);
    return {
      ...source,
      onBestEffort: (listener) => askForBestEffort(connection, options, listener),
      logState,
      resend: async (afterLogId) => ask(drainResendTopic, { afterLogId }),
      bindDatabase: async (database) => ask(drainDatabaseTopic, { database }),
    };
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/**
 * Asks the gateway where its log stands. Undefined: its version does not tell.
 * @throws MeshError `mqtt.*`
 */
async function askForLogState(
  connection: MqttConnection,
  timeoutMs: number,
): Promise<DrainLogState | undefined> {
  const told = Promise.withResolvers<DrainLogState>();
  connection.onNotice((topic, payload) => {
    if (topic !== drainLogTopic) return;
    const state = JSON.parse(payload.toString()) as unknown;
    if (isDocument(DrainLogState, state)) told.resolve(state);
  });
  const suback = connection.expect('suback', timeoutMs);
  connection.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: drainLogTopic, qos: 0 }] });
  const { granted } = await suback;
  if (granted[0] !== 0) return undefined;
  const closed = connection.closed.then(() =>
    Promise.reject(analyticsError('mqtt.closed', 'the connection closed before the state of the log')),
  );
  return raceTimeout(Promise.race([told.promise, closed]), timeoutMs, () =>
    analyticsError('mqtt.timeout', `no state of the log within ${timeoutMs} ms`),
  );
}

/**
 * Asks for what goes beside the log. A gateway of an earlier version refuses the filters, and sends
 * nothing of it.
 */
function askForBestEffort(
  connection: MqttConnection,
  { times, plausible, onInvalid }: DrainSourceOptions,
  listener: BestEffortListener,
): void {
  connection.onNotice((topic, payload) => {
    const deviceId = deviceOfBestEffortTopic(topic);
    try {
      if (deviceId !== undefined) {
        // A copy, because the payload is a view of everything that was read with it.
        const message = readDrainMessage(Buffer.from(payload));
        listener.reading(toBestEffortEntry(deviceId, message, times, plausible));
      } else if (topic === drainDevicesTopic) {
        const report = JSON.parse(payload.toString()) as unknown;
        if (isDocument(DevicesReport, report)) listener.report(report);
      }
    } catch (error) {
      onInvalid(error);
      connection.destroy();
    }
  });
  const subscriptions = [drainDevicesTopic, bestEffortFilter].map((topic) => ({ topic, qos: 0 as const }));
  connection.send({ cmd: 'subscribe', messageId: 3, subscriptions });
}

/** Publishes a document at QoS 1 and waits until the gateway has it on disk. */
async function publishOn(
  connection: MqttConnection,
  topic: string,
  document: object,
  timeoutMs: number,
): Promise<void> {
  const puback = connection.expect('puback', timeoutMs);
  const payload = JSON.stringify(document);
  connection.send({ cmd: 'publish', topic, payload, qos: 1, messageId: 1, dup: false, retain: false });
  await puback;
}

/** Maximum time that the end of a session waits for the gateway. */
const endTimeoutMs = 1_000;

/** Whether a source still hands out messages. */
type IntakeState =
  | { state: 'open' }
  /** The term is ending: what was received and not handed out stays unacknowledged. */
  | { state: 'stopped' }
  | { state: 'disconnected' };

function isOpen({ state }: IntakeState): boolean {
  switch (state) {
    case 'open':
      return true;
    case 'stopped':
    case 'disconnected':
      return false;
  }
}

interface Received {
  log: Buffer;
  entry: Entry;
  packetId: number;
}

function createSource(
  connection: MqttConnection,
  { queueBytesMax, times, plausible, onInvalid }: DrainSourceOptions,
): Omit<DrainSource, 'logState' | 'resend' | 'bindDatabase' | 'onBestEffort'> {
  let queue: Received[] = [];
  let queuedBytes = 0;
  let intake: IntakeState = { state: 'open' };
  let wake: (() => void) | undefined;
  let last: DrainMessage | undefined;
  let batch: BatchLimits | undefined;

  connection.onPublish((topic, packetId, payload) => {
    let message: DrainMessage;
    try {
      message = follow(last, readDrainMessage(payload));
      last = message;
    } catch (error) {
      onInvalid(error);
      return connection.destroy();
    }
    queue.push({ log: message.log as Buffer, entry: toEntry(topic, message, times, plausible), packetId });
    queuedBytes += message.payload.length;
    if (queuedBytes > queueBytesMax) connection.socket.pause();
    wake?.();
  });
  const enter = (next: IntakeState) => {
    intake = next;
    wake?.();
  };
  void connection.closed.then(() => enter({ state: 'disconnected' }));

  /** Waits until `enough` returns true, the time is up, or the connection ends. */
  function wait(enough: () => boolean, timeoutMs: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = timeoutMs === undefined ? undefined : setTimeout(finish, timeoutMs);
      wake = () => {
        if (!isOpen(intake) || enough()) finish();
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
    isBehind: () => batch !== undefined && (queue.length >= batch.rowsMax || queuedBytes >= batch.bytesMax),
    async next(limits) {
      batch = limits;
      const { rowsMax, bytesMax, lingerMs } = limits;
      if (queue.length === 0) await wait(() => queue.length > 0, undefined);
      if (lingerMs > 0) await wait(() => queue.length >= rowsMax || queuedBytes >= bytesMax, lingerMs);
      if (!isOpen(intake) || queue.length === 0) return undefined;
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
      enter({ state: 'stopped' });
    },
    end: async (signal) => endSession(connection, signal),
    destroy: () => connection.destroy(),
  };
}

async function endSession(connection: MqttConnection, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  // A paused socket would not notice that the gateway closes. Messages that still arrive stay
  // unacknowledged.
  connection.onPublish(() => undefined);
  connection.end();
  connection.socket.resume();
  await Promise.race([
    connection.closed,
    once(signal, 'abort'),
    delay(endTimeoutMs, undefined, { ref: false }),
  ]);
}

/**
 * Checks that the message follows the last one: on one connection, each message names the one
 * before it.
 * @throws RangeError if a message was lost on the way (I1)
 */
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

/**
 * Takes the head of the queue within the limits. A batch holds messages of one gateway store only.
 */
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
