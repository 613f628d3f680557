/**
 * Delivers a message once to a client with several subscriptions that match it.
 *
 * Aedes' own filter drops a message whose counter is not above the last one that came from the same
 * broker. Messages overtake each other on their way: one at QoS 2 those at QoS 1, whose PUBACK is
 * written first, and any message a retained one at QoS 0, which is stored first. So that filter
 * drops acknowledged messages that came once. This one compares identities instead of order.
 */
import type { AedesPublishPacket, Client } from 'aedes';

/** Recognises copies of a message for one client. */
export interface DeliveryFilter {
  /** Takes Aedes' own filter out of a new connection. */
  replaceOwnFilter(client: Client): void;
  /**
   * True if the message is the one before it on this connection. The copies for all subscriptions
   * of a client follow each other directly, because Aedes passes them in one turn.
   */
  isCopy(client: Client, packet: AedesPublishPacket): boolean;
}

/** Aedes keeps the last counter of each broker here; this object keeps none. */
const noCounters = new Proxy(Object.create(null) as Record<string, number>, { set: () => true });

/** Makes the filter for one broker. */
export function createDeliveryFilter(): DeliveryFilter {
  const lastOf = new WeakMap<Client, { brokerId: string; brokerCounter: number }>();
  return {
    replaceOwnFilter(client) {
      (client as unknown as { duplicates: Record<string, number> }).duplicates = noCounters;
    },
    isCopy(client, packet) {
      const { brokerCounter } = packet;
      // Aedes removes the broker id of retained messages, although its types exclude null: they are
      // sent once for each subscription [MQTT-3.3.1-6].
      const brokerId = packet.brokerId as string | null;
      if (brokerId === null) return false;
      const last = lastOf.get(client);
      if (last === undefined) {
        lastOf.set(client, { brokerId, brokerCounter });
        return false;
      }
      if (last.brokerCounter === brokerCounter && last.brokerId === brokerId) return true;
      last.brokerId = brokerId;
      last.brokerCounter = brokerCounter;
      return false;
    },
  };
}
