/** Rows and queries of the HTTP routes. Times in Unix ms, temperatures in °C. */
import Type, { type Static, type TSchema } from 'typebox';

const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Seq = Type.Integer({ minimum: 0 });

const measured = {
  seq: Seq,
  measuredAtMs: Type.Integer(),
  receivedAtMs: Type.Integer(),
  celsius: Type.Number(),
  setpointCelsius: Nullable(Type.Number()),
  humidityPercent: Nullable(Type.Number()),
  heating: Nullable(Type.Boolean()),
};

/** Latest state of a device: its reading of the highest seq. */
export const DeviceRow = Type.Object({ deviceId: Type.String(), ...measured });
export type DeviceRow = Static<typeof DeviceRow>;

export const ReadingRow = Type.Object({ ...measured, epoch: Type.Integer() });
export type ReadingRow = Static<typeof ReadingRow>;

export const BucketRow = Type.Object({
  startMs: Type.Integer(),
  count: Type.Integer(),
  celsiusAvg: Type.Number(),
  celsiusMin: Type.Number(),
  celsiusMax: Type.Number(),
});
export type BucketRow = Static<typeof BucketRow>;

export const RejectedRow = Type.Object({
  id: Type.Integer(),
  logId: Type.Integer(),
  deviceId: Nullable(Type.String()),
  seq: Nullable(Type.Integer()),
  receivedAtMs: Type.Integer(),
  reason: Type.String(),
  detail: Type.String(),
  rawBase64: Type.String({ description: 'the payload as the device sent it' }),
});
export type RejectedRow = Static<typeof RejectedRow>;

/** Rows of one answer at most. */
export const pageRowsMax = 1000;

export const PageQuery = {
  limit: Type.Integer({ minimum: 1, maximum: pageRowsMax, default: 100 }),
  cursor: Type.Optional(Type.String({ maxLength: 200, description: '`next` of the page before' })),
};

/** One page; `next` is the cursor of the following one, null on the last. */
export const Page = <T extends TSchema>(row: T) =>
  Type.Object({ items: Type.Array(row), next: Nullable(Type.String()) });
