/** Handles a publish before Aedes acknowledges it: rights, size, and the durable write (I1). */
import type { AedesPublishPacket, Client, PublishPacket } from 'aedes';
import { deviceOfDataTopic } from '@thermomesh/contracts';
import type { Log } from '@thermomesh/runtime';
import { mayPublish, publishRule, storedTopic, type Identity } from '../core/access.ts';
import type { Refusal } from '../core/device-notices.ts';
import type { Intake } from '../storage/intake.ts';
import type { Operation } from '../core/ports.ts';
import { logBrokerPrefix, retainedOperation, type LmdbPersistence } from './aedes-persistence.ts';
import { createQos2UnderWay, type Qos2UnderWay } from './qos2-under-way.ts';

/** Events that the gate counts. */
export interface PublishEvents {
  refusedPublish(reason: 'not_allowed' | 'too_large'): void;
  qos0Reading(): void;
}

/** What the owner of a device must see. */
export interface PublishNotices {
  refused(deviceId: string, refusal: Refusal): void;
  /** A reading came at QoS 0. */
  qos0Reading(deviceId: string, payload: Buffer): void;
}

export interface PublishGateOptions {
  log: Log;
  persistence: LmdbPersistence;
  identityOf: (client: Client) => Identity | undefined;
  /** The buffer limit holds back devices, but not the mesh's own clients. */
  intakeFor: (identity: Identity) => Intake;
  publishBytesMax: number;
  events: PublishEvents;
  notices: PublishNotices;
  /** Receives each publish of a connected device that is accepted, before it is durable. */
  onDevicePublish: (identity: Identity, topic: string, payload: Buffer) => void;
}

type GateOptions = PublishGateOptions & { underWay: Qos2UnderWay };
type Done = (error?: Error | null) => void;

/** The gate through which every publish passes, also a will. */
export interface PublishGate {
  /** A hook of Aedes: an error closes the connection, success sends the PUBACK or PUBREC. */
  authorize(client: Client | null, packet: PublishPacket, done: Done): void;
  /** Counts and logs a publish that was refused for its size. */
  tooLarge(client: Client | null): void;
}

/** Makes the gate for one broker. */
export function createPublishGate(options: PublishGateOptions): PublishGate {
  const { log, persistence, events, publishBytesMax } = options;
  const gate: GateOptions = { ...options, underWay: createQos2UnderWay() };

  function notice(identity: Identity | undefined, refusal: Refusal): void {
    if (identity?.kind === 'device') options.notices.refused(identity.deviceId, refusal);
  }

  function tooLarge(client: Client | null, topic: string | null = null): void {
    events.refusedPublish('too_large');
    const identity = client === null ? undefined : options.identityOf(client);
    notice(identity, { kind: 'publish', reason: `at most ${publishBytesMax} bytes`, topic });
    log.warn({ event: 'publish.too_large', clientId: client?.id, bytesMax: publishBytesMax });
  }

  return {
    tooLarge,
    authorize(client, packet, done) {
      // The client of a will is gone, perhaps since before this process started.
      const identity = client === null ? persistence.identityOfWill(packet) : options.identityOf(client);
      if (identity === undefined || !mayPublish(identity, packet.topic)) {
        events.refusedPublish('not_allowed');
        if (identity?.kind === 'device') {
          notice(identity, { kind: 'publish', reason: publishRule(identity.deviceId), topic: packet.topic });
        }
        log.warn({ event: 'publish.refused', clientId: client?.id, topic: packet.topic });
        return done(new Error('publish not allowed'));
      }
      if (packet.payload.length > publishBytesMax) {
        tooLarge(client, packet.topic);
        return done(new Error('publish too large'));
      }
      packet.topic = storedTopic(identity, packet.topic);
      // DUP describes the delivery from the publisher, not the one to subscribers [MQTT-3.3.1-3].
      packet.dup = false;
      if (client !== null) options.onDevicePublish(identity, packet.topic, packet.payload as Buffer);
      if (packet.qos > 0) return makeDurable(gate, client, identity, packet, done);
      const deviceId = deviceOfDataTopic(packet.topic);
      if (deviceId !== undefined) {
        events.qos0Reading();
        options.notices.qos0Reading(deviceId, packet.payload as Buffer);
      }
      done(null);
    },
  };
}

/** I1: `done` sends the acknowledgement, so it is called only when the message is durable. */
function makeDurable(
  options: GateOptions,
  client: Client | null,
  identity: Identity,
  packet: PublishPacket,
  done: Done,
): void {
  const publisher = client?.id ?? 'will';
  // A will has no packet id, and no client that could send it again.
  if (client === null || packet.messageId === undefined) {
    return store(options, identity, publisher, packet, { wanted: () => true, done });
  }
  if (packet.qos === 2) return makeDurableOnce(options, client, identity, packet, done);
  store(options, identity, publisher, packet, { wanted: () => !client.closed, done });
}

/** A repeated QoS 2 publish is not stored again; Aedes answers it with PUBREC [MQTT-4.3.3-2]. */
function makeDurableOnce(
  options: GateOptions,
  client: Client,
  identity: Identity,
  packet: PublishPacket,
  done: Done,
): void {
  const { persistence, underWay } = options;
  if (persistence.knowsIncoming(client, packet)) return done(null);
  const first = underWay.enter(client, packet.messageId!, () => done(null));
  if (first === undefined) return;
  store(options, identity, client.id, packet, {
    wanted: () => first.wanted(),
    alongside: persistence.incomingOperations(client, packet),
    done() {
      persistence.rememberIncoming(client, packet);
      done(null);
      first.durable();
    },
  });
}

interface StoreOptions {
  wanted: () => boolean;
  alongside?: readonly Operation[];
  done: Done;
}

function store(
  { intakeFor }: GateOptions,
  identity: Identity,
  publisher: string,
  packet: PublishPacket,
  { wanted, alongside = [], done }: StoreOptions,
): void {
  intakeFor(identity).publish({
    topic: packet.topic,
    payload: packet.payload as Buffer,
    qos: packet.qos as 1 | 2,
    alongside: packet.retain ? [...alongside, retainedOperation({ ...packet })] : [...alongside],
    wanted,
    done(logId) {
      // Our persistence and our delivery filter recognise the message by these two. They are
      // unique, so no message is taken for a copy of another.
      const stored = packet as AedesPublishPacket;
      stored.brokerId = logBrokerPrefix + publisher;
      stored.brokerCounter = logId;
      done(null);
    },
  });
}
