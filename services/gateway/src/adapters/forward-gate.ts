/** What a subscriber is sent: only what it may see, at its own QoS, in the order of its queue, and not more than it takes. */
import type { Socket } from 'node:net';
import type { AedesPublishPacket, Client } from 'aedes';
import { commandTopic } from '@thermomesh/contracts';
import type { Log } from '@thermomesh/runtime';
import type { Identity } from '../core/access.ts';
import { matches } from '../core/topic-tree.ts';
import { logBrokerPrefix, type LmdbPersistence } from './aedes-persistence.ts';

export interface ForwardGateOptions {
  log: Log;
  persistence: LmdbPersistence;
  identityOf: (client: Client) => Identity | undefined;
  /** Unsent bytes above which a subscriber is disconnected. */
  subscriberBufferBytesMax: number;
  /** Sent to one persistent session and not acknowledged; above it the subscriber is disconnected. */
  subscriberWindowMax: number;
  /** Entries sent to a session and not acknowledged. */
  inFlight: (clientId: string) => number;
  onSlowSubscriber: () => void;
}

/** Aedes' hook: false means "not now". What stands in a session's queue stays there. */
export type ForwardGate = (client: Client, packet: AedesPublishPacket) => boolean;

export function createForwardGate(options: ForwardGateOptions): ForwardGate {
  const { log, persistence, subscriberBufferBytesMax, subscriberWindowMax } = options;

  function disconnect(client: Client, reason: string): false {
    if (!client.conn.destroyed) {
      options.onSlowSubscriber();
      log.warn({ event: 'subscriber.too_slow', clientId: client.id, reason });
      client.conn.destroy();
    }
    return false;
  }

  /** A live message at QoS 1 or 2. */
  function mayForwardLive(client: Client, packet: AedesPublishPacket): boolean {
    const granted = grantedQos(client, packet.topic);
    // Aedes would send it at the publisher's QoS if the filter has wildcards [MQTT-3.8.4-6].
    if (granted > 0 && granted < packet.qos) packet.qos = granted;
    // Aedes takes the broker id off retained messages, whatever its types say.
    const brokerId = packet.brokerId as string | null;
    if (client.clean || granted === 0 || brokerId?.startsWith(logBrokerPrefix) !== true) return true;
    const catchUp = persistence.catchUpOf(client.id);
    // It stands in the session's queue, which is being delivered in order, or has been up to here.
    if (catchUp !== undefined && (catchUp.active || packet.brokerCounter <= catchUp.readUpTo)) return false;
    // Packet ids would wrap onto messages that are not acknowledged.
    return options.inFlight(client.id) < subscriberWindowMax || disconnect(client, 'it does not acknowledge');
  }

  return (client, packet) => {
    const identity = options.identityOf(client);
    if (identity?.kind === 'device' && packet.topic !== commandTopic(identity.deviceId)) return false;
    if ((client.conn as Socket).writableLength > subscriberBufferBytesMax) {
      return disconnect(client, 'its buffer is full');
    }
    if (packet.qos === 0) return true;
    if (packet.messageId === undefined) return mayForwardLive(client, packet);
    // From the session's queue.
    if (persistence.isRedelivery(packet)) packet.dup = true;
    return true;
  };
}

/** The highest QoS at which the client's subscriptions match `topic`. */
function grantedQos(client: Client, topic: string): 0 | 1 | 2 {
  const { subscriptions } = client as unknown as { subscriptions: Record<string, { qos: 0 | 1 | 2 }> };
  let granted: 0 | 1 | 2 = 0;
  for (const [filter, { qos }] of Object.entries(subscriptions)) {
    if (qos > granted && matches(filter, topic)) granted = qos;
  }
  return granted;
}
