/**
 * What everyday work on stored data answers: a replay, a deletion of rejected messages, the erasure
 * of a device.
 */
import Type, { type Static, type TSchema } from 'typebox';
import { DeviceIncarnationDocument } from './documents.ts';
import { Count, Nullable } from './schema-parts.ts';

/** Answer of `POST /v1/rejected/:id/replay`. */
export const ReplayDocument = Type.Object({
  id: Type.Integer(),
  outcome: Type.Union(
    [Type.Literal('stored'), Type.Literal('duplicate'), Type.Literal('rejected'), Type.Literal('gone')],
    {
      description:
        'stored: the reading is stored now; duplicate: it was stored already; rejected: it stays among the rejected; gone: another replay or a deletion was faster.',
    },
  ),
  reason: Nullable(Type.String({ description: 'Why it is rejected now; null otherwise.' })),
  detail: Nullable(Type.String()),
});
export type ReplayDocument = Static<typeof ReplayDocument>;

/** Answer of `DELETE /v1/rejected` and `DELETE /v1/rejected/:id`. */
export const DeletedRejections = Type.Object({
  deleted: Count,
  complete: Type.Boolean({ description: 'False if more rows match: send the request again.' }),
});
export type DeletedRejections = Static<typeof DeletedRejections>;

/** Answer of `DELETE /v1/devices/:deviceId`. */
export const ErasedDevice = Type.Object({
  deviceId: Type.String(),
  readings: Type.Integer({ minimum: 0, description: 'Readings that this request has erased.' }),
  rejections: Type.Integer({ minimum: 0, description: 'Rejected messages that this request has erased.' }),
  complete: Type.Boolean({ description: 'False if more is left: send the request again.' }),
});
export type ErasedDevice = Static<typeof ErasedDevice>;

/** What operators have removed of a device; it holds numbers only. */
export const ErasedRow = Type.Object({
  incarnation: Nullable(Type.Integer({ description: 'Null: rejected messages.' })),
  reason: Nullable(Type.String({ description: 'Null: readings.' })),
  erased: Count,
  lastErasedAtMs: Type.Integer(),
});
export type ErasedRow = Static<typeof ErasedRow>;

/** Answer of `GET /v1/devices/:deviceId/erased`. */
export const ErasedRows = Type.Object({ items: Type.Array(ErasedRow) });
export type ErasedRows = Static<typeof ErasedRows>;

const Pageful = <T extends TSchema>(row: T) =>
  Type.Object({ items: Type.Array(row), next: Nullable(Type.String()) });

/** A page of `GET /v1/rejected`, as far as tools read it. */
export const RejectedPage = Pageful(
  Type.Object({
    id: Type.Integer(),
    deviceId: Nullable(Type.String()),
    seq: Nullable(Type.Integer()),
    receivedAtMs: Type.Integer(),
    reason: Type.String(),
    detail: Type.String(),
    rawBase64: Type.String(),
    rawBytes: Count,
  }),
);
export type RejectedPage = Static<typeof RejectedPage>;

/** A page of `GET /v1/rejected/summary` and `/v1/devices/:deviceId/rejections`. */
export const RejectionCountPage = Pageful(
  Type.Object({
    deviceId: Nullable(Type.String()),
    reason: Type.String(),
    count: Count,
    firstReceivedAtMs: Type.Integer(),
    lastReceivedAtMs: Type.Integer(),
    replayed: Count,
    deleted: Count,
  }),
);
export type RejectionCountPage = Static<typeof RejectionCountPage>;

/** A device of `GET /v1/devices`, as far as tools read it; null: no reading of it is stored. */
export const DeviceView = Type.Object({
  deviceId: Type.String(),
  incarnation: Nullable(Type.Integer()),
  seq: Nullable(Type.Integer()),
  measuredAtMs: Nullable(Type.Integer()),
  receivedAtMs: Nullable(Type.Integer()),
  celsius: Nullable(Type.Number()),
  setpointCelsius: Nullable(Type.Number()),
  humidityPercent: Nullable(Type.Number()),
  heating: Nullable(Type.Boolean()),
});
export type DeviceView = Static<typeof DeviceView>;
export const DevicePage = Pageful(DeviceView);
export type DevicePage = Static<typeof DevicePage>;

/** A page of `GET /v1/devices/:deviceId/incarnations`. */
export const IncarnationPage = Pageful(DeviceIncarnationDocument);
export type IncarnationPage = Static<typeof IncarnationPage>;

/** A page of `GET /v1/devices/:deviceId/readings`, as far as tools read it. */
export const ReadingPage = Pageful(
  Type.Object({
    incarnation: Type.Integer(),
    seq: Type.Integer(),
    measuredAtMs: Type.Integer(),
    receivedAtMs: Type.Integer(),
    celsius: Type.Number(),
    setpointCelsius: Nullable(Type.Number()),
    humidityPercent: Nullable(Type.Number()),
    heating: Nullable(Type.Boolean()),
    implausible: Type.Boolean(),
  }),
);
export type ReadingPage = Static<typeof ReadingPage>;
