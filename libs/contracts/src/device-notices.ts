/**
 * What a device's owner must see of readings that are not stored as they were sent: readings at
 * QoS 0, and packets that the gateway refuses (ADR 0023). Best effort, outside I1 and I6.
 */
import Type, { type Static } from 'typebox';
import { Count, Nullable } from './schema-parts.ts';

/** What was refused. */
export const refusalKinds = ['connect', 'publish', 'subscribe', 'protocol'] as const;
export type RefusalKind = (typeof refusalKinds)[number];

/** Refusals of one kind for one reason. */
export const DeviceRefusal = Type.Object({
  kind: Type.Enum([...refusalKinds], {
    description:
      'What was refused. connect: CONNACK 5. publish: the connection was closed. subscribe: SUBACK 0x80. protocol: the connection was closed because of a packet that breaks MQTT 3.1.1.',
  }),
  reason: Type.String({ description: 'Why, in words that say what is allowed.' }),
  topic: Nullable(Type.String({ description: 'Topic or filter of the latest one.' })),
  count: Type.Integer({ minimum: 1 }),
  firstAtMs: Type.Integer(),
  lastAtMs: Type.Integer(),
});
export type DeviceRefusal = Static<typeof DeviceRefusal>;

/** What happened to one device since the former report. */
export const DeviceNotice = Type.Object({
  deviceId: Type.String(),
  /** Readings at QoS 0 that were not stored, with the first and the last time. */
  notStored: Count,
  firstAtMs: Nullable(Type.Integer()),
  lastAtMs: Nullable(Type.Integer()),
  refusals: Type.Array(DeviceRefusal),
});
export type DeviceNotice = Static<typeof DeviceNotice>;

/**
 * Payload of `drainDevicesTopic`, at QoS 0: what the gateway has counted since its former report. A
 * report that is lost on the way is not sent again.
 */
export const DevicesReport = Type.Object({
  /** Readings at QoS 0 that were not stored because the gateway does not store them. */
  relayed: Count,
  /** Readings at QoS 0 that were given up because a queue was full. */
  dropped: Count,
  devices: Type.Array(DeviceNotice),
});
export type DevicesReport = Static<typeof DevicesReport>;

/** The account of readings at QoS 0, since the database was created. */
export const Qos0Account = Type.Object({
  relayed: Type.Integer({ minimum: 0, description: 'Not stored: the gateway only relays them.' }),
  stored: Count,
  duplicate: Count,
  rejected: Count,
  dropped: Type.Integer({ minimum: 0, description: 'Given up because a queue was full.' }),
});
export type Qos0Account = Static<typeof Qos0Account>;
