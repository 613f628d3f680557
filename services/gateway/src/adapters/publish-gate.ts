/** What happens to a publish before Aedes acknowledges it: rights, size, and the durable write (I1). */
import type { AedesPublishPacket, Client, PublishPacket } from 'aedes';
import { deviceOfDataTopic } from '@thermomesh/contracts';
import type { Log } from '@thermomesh/runtime';
import { mayPublish, storedTopic, type Identity } from '../core/access.ts';
import type { Intake } from '../core/intake.ts';
import type { Operation } from '../core/store.ts';
import {
  incomingOperation,
  logBrokerPrefix,
  retainedOperation,
  type LmdbPersistence,
} from './aedes-persistence.ts';

export interface PublishEvents {
  refusedPublish(reason: 'not_allowed' | 'too_large'): void;
  qos0Reading(): void;
}

export interface PublishGateOptions {
  log: Log;
  persistence: LmdbPersistence;
  identityOf: (client: Client) => Identity | undefined;
  /** Devices are held back by the buffer limit, the mesh's own clients are not. */
  intakeFor: (identity: Identity) => Intake;
  publishBytesMax: number;
  events: PublishEvents;
}

type Done = (error?: Error | null) => void;

export interface PublishGate {
  /** Aedes' hook: an error closes the connection, success sends the PUBACK or PUBREC. */
  authorize(client: Client | null, packet: PublishPacket, done: Done): void;
  /** A publish was refused for its size. */
  tooLarge(client: Client | null): void;
}

export function createPublishGate(options: PublishGateOptions): PublishGate {
  const { log, persistence, events, publishBytesMax } = options;

  function tooLarge(client: Client | null): void {
    events.refusedPublish('too_large');
    log.warn({ event: 'publish.too_large', clientId: client?.id, bytesMax: publishBytesMax });
  }

  return {
    tooLarge,
    authorize(client, packet, done) {
      // A will is published for a client that has gone, perhaps before this process started.
      const identity = client === null ? persistence.identityOfWill(packet) : options.identityOf(client);
      if (identity === undefined || !mayPublish(identity, packet.topic)) {
        events.refusedPublish('not_allowed');
        log.warn({ event: 'publish.refused', clientId: client?.id, topic: packet.topic });
        return done(new Error('publish not allowed'));
      }
      if (packet.payload.length > publishBytesMax) {
        tooLarge(client);
        return done(new Error('publish too large'));
      }
      packet.topic = storedTopic(identity, packet.topic);
      // It tells of this publisher's delivery, not of a subscriber's [MQTT-3.3.1-3].
      packet.dup = false;
      if (packet.qos > 0) return makeDurable(options, client, identity, packet, done);
      if (deviceOfDataTopic(packet.topic) !== undefined) events.qos0Reading();
      done(null);
    },
  };
}

/** I1: `done` sends the acknowledgement, so it is called when the message is durable and not before. */
function makeDurable(
  { persistence, intakeFor }: PublishGateOptions,
  client: Client | null,
  identity: Identity,
  packet: PublishPacket,
  done: Done,
): void {
  const publisher = client?.id ?? 'will';
  const { topic, messageId } = packet;
  const payload = packet.payload as Buffer;
  // A QoS 2 publish that is sent again is stored already; Aedes answers it with PUBREC [MQTT-4.3.3-2].
  if (client !== null && packet.qos === 2 && persistence.knowsIncoming(client, packet)) return done(null);
  const alongside: Operation[] = [];
  if (packet.retain) alongside.push(retainedOperation({ ...packet }));
  if (packet.qos === 2 && messageId !== undefined) alongside.push(incomingOperation(publisher, packet));
  intakeFor(identity).publish({
    topic,
    payload,
    qos: packet.qos as 1 | 2,
    alongside,
    // A will has no packet id, and nobody who could send it again.
    wanted: () => messageId === undefined || client?.closed === false,
    done(logId) {
      // By these Aedes and our persistence know the message again. They are unique and grow per publisher, so that no message
      // is taken for a repetition of another.
      const stored = packet as AedesPublishPacket;
      stored.brokerId = logBrokerPrefix + publisher;
      stored.brokerCounter = logId;
      done(null);
    },
  });
}
