/**
 * QoS 2 publishes that are not durable yet. A repetition of one waits for it instead of being
 * stored as another message [MQTT-4.3.3-2].
 */
import type { Client } from 'aedes';

interface UnderWay {
  /** The connections that wait for its PUBREC. */
  clients: Set<Client>;
  repeated: (() => void)[];
}

/** A publish between its arrival and the moment in which it is durable. */
export interface FirstPublish {
  /** False if every connection that wants the PUBREC is closed: the publish is dropped then. */
  wanted(): boolean;
  /** Answers the repetitions; called when the publish is durable. */
  durable(): void;
}

/** Knows the publishes of all clients that are under way. */
export interface Qos2UnderWay {
  /** Returns the first publish with this packet id; undefined for a repetition. */
  enter(client: Client, messageId: number, onRepeated: () => void): FirstPublish | undefined;
}

/** Makes an empty list. */
export function createQos2UnderWay(): Qos2UnderWay {
  // A clean session is its connection; a persistent one has its client id.
  const sessions = new Map<Client | string, Map<number, UnderWay>>();

  function remove(session: Client | string, messageId: number): void {
    const publishes = sessions.get(session);
    publishes?.delete(messageId);
    if (publishes?.size === 0) sessions.delete(session);
  }

  return {
    enter(client, messageId, onRepeated) {
      const session = client.clean ? client : client.id;
      const publishes = sessions.get(session) ?? new Map<number, UnderWay>();
      const first = publishes.get(messageId);
      if (first !== undefined) {
        first.clients.add(client);
        first.repeated.push(onRepeated);
        return undefined;
      }
      const entered: UnderWay = { clients: new Set([client]), repeated: [] };
      publishes.set(messageId, entered);
      sessions.set(session, publishes);
      return {
        wanted() {
          if ([...entered.clients].some(({ closed }) => !closed)) return true;
          remove(session, messageId);
          return false;
        },
        durable() {
          remove(session, messageId);
          for (const answer of entered.repeated) answer();
        },
      };
    },
  };
}
