/** What a persistent session besides the drain session consists of. */

/** One subscription, with the MQTT 5 options that Aedes stores. */
export interface Subscription {
  topic: string;
  qos: 0 | 1 | 2;
  rh?: number;
  rap?: boolean;
  nl?: boolean;
  subscriptionIdentifier?: number;
}

/** A subscription that matches a topic, with its owner. */
export interface Match extends Omit<Subscription, 'subscriptionIdentifier'> {
  clientId: string;
}

/** A queue entry for delivery. */
export interface Queued {
  sequence: number;
  /** Packet id; undefined until the entry has been sent. */
  messageId: number | undefined;
  /** True if the PUBREC has come and the PUBCOMP has not (QoS 2). */
  released: boolean;
  /** A message of the log, or an object that was queued by itself. */
  message: LogQueued | { kind: 'inline'; packet: object };
}

/** A message of the log in a queue. */
export interface LogQueued {
  kind: 'log';
  qos: 1 | 2;
  topic: string;
  payload: Buffer;
}

/** The limit that keeps a message out of a queue. */
export type DropReason = 'queue_full' | 'sessions_full';

/** A session in memory; the store has the same. */
export interface Session {
  subscriptions: Map<string, Subscription>;
  /** True if the store has a record of the session itself, which may have nothing else. */
  begun: boolean;
  /** Number of queue entries. */
  queued: number;
  /** Packet id of each sent entry → its sequence. */
  byMessageId: Map<number, number>;
  /** Sequence of each sent entry → its packet id. */
  sent: Map<number, { messageId: number; released: boolean }>;
  /** Sequences of the entries that are not in the log, by the name that Aedes gives them. */
  inline: Map<string, number>;
  /** Sequences of the entries whose removal is under way. */
  leaving: Set<number>;
  /** The limit that keeps new messages out of the queue; undefined while none does. */
  full: DropReason | undefined;
}

/** A session without subscriptions and with an empty queue. */
export function createSession(): Session {
  return {
    subscriptions: new Map(),
    begun: false,
    queued: 0,
    byMessageId: new Map(),
    sent: new Map(),
    inline: new Map(),
    leaving: new Set(),
    full: undefined,
  };
}
