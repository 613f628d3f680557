/** Rows of stored telemetry, as HTTP shows them. Times are Unix ms, temperatures °C. */
import { DeviceRefusal, Nullable } from '@thermomesh/contracts';
import Type, { type Static } from 'typebox';

const Seq = Type.Integer({ minimum: 0 });

const measured = {
  incarnation: Type.Integer({ minimum: 0, description: 'Which life of the device this is.' }),
  seq: Seq,
  measuredAtMs: Type.Integer(),
  receivedAtMs: Type.Integer(),
  celsius: Type.Number(),
  setpointCelsius: Nullable(Type.Number()),
  humidityPercent: Nullable(Type.Number()),
  heating: Nullable(Type.Boolean()),
  implausible: Type.Boolean({ description: 'True if no sensor of the fleet can have measured this.' }),
};

const NullableSeq = Nullable(Type.Integer({ minimum: 0 }));

/** Readings of one device that were not stored as they were sent, and what to do about it. */
const occurrences = {
  count: Type.Integer({ minimum: 1 }),
  firstAtMs: Type.Integer(),
  lastAtMs: Type.Integer(),
};

/** What the owner of a device should know besides its latest state. */
const notices = {
  qos0: Nullable(
    Type.Object(
      { ...occurrences, hint: Type.String() },
      { description: 'Readings at QoS 0 that were not stored.' },
    ),
  ),
  conflicts: Nullable(
    Type.Object(
      { ...occurrences, hint: Nullable(Type.String()) },
      {
        description:
          'Readings that were rejected because their seq is stored with other values. The hint is null if a new incarnation was opened since.',
      },
    ),
  ),
  refusals: Type.Array(DeviceRefusal, {
    description: 'What the gateway has refused the device, one entry for each kind and reason, latest first.',
  }),
};

/**
 * The latest state of a device: the reading with the highest plausible seq of its highest
 * incarnation. Its fields are null if no reading of the device is stored.
 */
export const DeviceRow = Type.Object({
  deviceId: Type.String(),
  incarnation: NullableSeq,
  seq: NullableSeq,
  measuredAtMs: Nullable(Type.Integer()),
  receivedAtMs: Nullable(Type.Integer()),
  celsius: Nullable(Type.Number()),
  setpointCelsius: Nullable(Type.Number()),
  humidityPercent: Nullable(Type.Number()),
  heating: Nullable(Type.Boolean()),
  implausible: Nullable(Type.Boolean()),
  ...notices,
});
export type DeviceRow = Static<typeof DeviceRow>;

/** What to do about readings at QoS 0 that were not stored. */
export const qos0Hint =
  'readings at QoS 0 are not stored: publish at QoS 1, or set QOS0=store at the gateway';

/** What to do about a device that has begun its seq again. */
export function conflictHint(deviceId: string): string {
  return `the device uses seq again, as after a reboot: mesh device reset ${deviceId}, or let it name a higher incarnation`;
}

/** One reading, and the epoch of the coordinator that stored it. */
export const ReadingRow = Type.Object({ ...measured, epoch: Type.Integer() });
export type ReadingRow = Static<typeof ReadingRow>;

/** Average, least and greatest value of one field; null if no reading of the bucket has it. */
function statistics<const Name extends string>(name: Name) {
  const field = Nullable(Type.Number());
  return { [`${name}Avg`]: field, [`${name}Min`]: field, [`${name}Max`]: field } as Record<
    `${Name}${'Avg' | 'Min' | 'Max'}`,
    typeof field
  >;
}

/** Averages over the plausible readings of one time bucket; null if it has none. */
export const BucketRow = Type.Object({
  startMs: Type.Integer(),
  count: Type.Integer({ description: 'Plausible readings.' }),
  implausible: Type.Integer({ description: 'Readings that were left out because they are implausible.' }),
  ...statistics('celsius'),
  ...statistics('setpointCelsius'),
  ...statistics('humidityPercent'),
  heatingShare: Nullable(
    Type.Number({ minimum: 0, maximum: 1, description: 'Share of readings with the heating on.' }),
  ),
});
export type BucketRow = Static<typeof BucketRow>;

/** An acknowledged message that could not become a reading. */
export const RejectedRow = Type.Object({
  id: Type.Integer(),
  logId: Type.Integer(),
  deviceId: Nullable(Type.String()),
  seq: Nullable(Type.Integer()),
  receivedAtMs: Type.Integer(),
  reason: Type.String(),
  detail: Type.String(),
  rawBase64: Type.String({
    description: 'The payload as the device sent it, cut to the limit of kept bytes.',
  }),
  rawBytes: Type.Integer({ description: 'Size of the whole payload.' }),
  rawSha256: Type.String({ description: 'SHA-256 of the whole payload, in hex.' }),
});
export type RejectedRow = Static<typeof RejectedRow>;

/** How often messages of a device were rejected for one reason, and when. Never removed. */
export const RejectionCount = Type.Object({
  deviceId: Nullable(Type.String({ description: 'Null if the topic names no device.' })),
  reason: Type.String(),
  count: Type.Integer({
    minimum: 1,
    description: 'Rejected messages, messages that the device sent again included.',
  }),
  firstReceivedAtMs: Type.Integer(),
  lastReceivedAtMs: Type.Integer(),
  replayed: Type.Integer({ minimum: 0, description: 'Of these: stored later by a replay.' }),
  deleted: Type.Integer({ minimum: 0, description: 'Of these: rows that an operator has deleted.' }),
});
export type RejectionCount = Static<typeof RejectionCount>;
