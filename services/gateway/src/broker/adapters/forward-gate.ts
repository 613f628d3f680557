/**
 * Decides what a subscriber is sent: only messages that it may see, in the order of its queue, and
 * not more than it takes.
 */
import type { Socket } from 'node:net';
import type { AedesPublishPacket, Client } from 'aedes';
import { commandTopic } from '@thermomesh/contracts';
import type { Log } from '@thermomesh/runtime';
import type { Identity } from '../core/access.ts';
import { logBrokerPrefix, type LmdbPersistence } from './aedes-persistence.ts';
import type { DeliveryFilter } from './delivery-filter.ts';

export interface ForwardGateOptions {
  log: Log;
  persistence: LmdbPersistence;
  identityOf: (client: Client) => Identity | undefined;
  filter: DeliveryFilter;
  /** Number of unsent bytes above which a subscriber is disconnected. */
  subscriberBufferBytesMax: number;
  /** Number of unacknowledged messages of a persistent session at which it is disconnected. */
  subscriberWindowMax: number;
  /** Number of entries sent to a session and not acknowledged. */
  inFlight: (clientId: string) => number;
  onSlowSubscriber: () => void;
}

/** A hook of Aedes: false means "not now"; an entry of a session's queue stays in the queue. */
export type ForwardGate = (client: Client, packet: AedesPublishPacket) => boolean;

/** Makes the hook for one broker. */
export function createForwardGate(options: ForwardGateOptions): ForwardGate {
  const { log, persistence, filter, subscriberBufferBytesMax, subscriberWindowMax } = options;

  function disconnect(client: Client, reason: string): false {
    if (!client.conn.destroyed) {
      options.onSlowSubscriber();
      log.warn({ event: 'subscriber.too_slow', clientId: client.id, reason });
      client.conn.destroy();
    }
    return false;
  }

  /** Decides about a live message at QoS 1 or 2. */
  function mayForwardLive(client: Client, packet: AedesPublishPacket): boolean {
    // Aedes removes the broker id of retained messages, although its types exclude null.
    const brokerId = packet.brokerId as string | null;
    if (client.clean || brokerId?.startsWith(logBrokerPrefix) !== true) return true;
    const catchUp = persistence.catchUpOf(client.id);
    // The message is in the session's queue, which is being delivered, or was delivered up to it.
    if (catchUp !== undefined && (catchUp.active || packet.brokerCounter <= catchUp.readUpTo)) return false;
    // Otherwise packet ids would wrap onto messages that are not acknowledged.
    return options.inFlight(client.id) < subscriberWindowMax || disconnect(client, 'it does not acknowledge');
  }

  return (client, packet) => {
    const identity = options.identityOf(client);
    if (identity?.kind === 'device' && packet.topic !== commandTopic(identity.deviceId)) return false;
    const isLive = packet.messageId === undefined;
    // A resumed session gets its subscriptions before its CONNACK, which comes first
    // [MQTT-3.2.0-1]; its queue, which is delivered after the CONNACK, has this message too.
    if (isLive && !(client as unknown as { connackSent: boolean }).connackSent) return false;
    if (isLive && filter.isCopy(client, packet)) return false;
    if ((client.conn as Socket).writableLength > subscriberBufferBytesMax) {
      return disconnect(client, 'its buffer is full');
    }
    if (packet.qos === 0) return true;
    if (isLive) return mayForwardLive(client, packet);
    // From the session's queue.
    if (persistence.isRedelivery(packet)) packet.dup = true;
    return true;
  };
}
