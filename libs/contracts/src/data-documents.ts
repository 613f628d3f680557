/**
 * What everyday work on stored data answers: a replay, a deletion of rejected messages, the erasure
 * of a device.
 */
import Type, { type Static } from 'typebox';
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
