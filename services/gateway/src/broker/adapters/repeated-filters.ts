/**
 * Answers a SUBSCRIBE that names a filter more than once. Aedes keeps one of them and returns one
 * code, but each filter gets its own code in its place [MQTT-3.8.4-5] [MQTT-3.9.3-1].
 */
import type { Client, Subscription } from 'aedes';
import mqtt, { type ISubscribePacket, type ISubscription } from 'mqtt-packet';

/** Knows the SUBSCRIBEs with repeated filters that Aedes is handling. */
export interface RepeatedFilters {
  /** Returns the packet for Aedes; without a packet id Aedes sends no SUBACK. */
  forAedes(packet: ISubscribePacket): ISubscribePacket;
  /** Sends the SUBACK, if Aedes has not; Aedes reports each SUBSCRIBE that it has handled. */
  handled(client: Client, granted: readonly Subscription[]): void;
}

interface Awaited {
  messageId: number;
  requested: readonly { topic: string; qos: number }[];
}

const failure = 0x80;

/** Makes an empty list. */
export function createRepeatedFilters(): RepeatedFilters {
  // The key is the subscription that Aedes reports first: the last one for the first filter.
  const awaited = new WeakMap<object, Awaited>();
  return {
    forAedes(packet) {
      const { subscriptions, messageId } = packet;
      const last = new Map(subscriptions.map((subscription) => [subscription.topic, subscription]));
      if (last.size === subscriptions.length || messageId === undefined) return packet;
      const [first] = last.values() as Iterable<ISubscription>;
      // Aedes writes what it has granted into its subscriptions.
      const requested = subscriptions.map(({ topic, qos }) => ({ topic, qos }));
      awaited.set(first!, { messageId, requested });
      delete packet.messageId;
      return packet;
    },
    handled(client, granted) {
      const subscribed = granted[0] && awaited.get(granted[0]);
      if (subscribed === undefined) return;
      const codes = new Map(granted.map(({ topic, qos }) => [topic, qos as number]));
      client.conn.write(
        mqtt.generate({
          cmd: 'suback',
          messageId: subscribed.messageId,
          granted: subscribed.requested.map(({ topic, qos }) =>
            codes.get(topic) === failure ? failure : qos,
          ),
        }),
      );
    },
  };
}
