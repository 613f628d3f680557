/** Pages of the HTTP routes. */
import { deviceIdPattern, Nullable } from '@thermomesh/contracts';
import Type, { type TSchema } from 'typebox';

/** Maximum number of rows in one response. */
export const pageRowsMax = 1000;

/** Refuses unknown query parameters: with a slip in its name, a filter would filter nothing. */
export const strict = { additionalProperties: false } as const;

/** The query parameters of every list. */
export const PageQuery = {
  limit: Type.Integer({ minimum: 1, maximum: pageRowsMax, default: 100 }),
  cursor: Type.Optional(Type.String({ maxLength: 200, description: '`next` of the previous page.' })),
};

/** The id of a device, in a path or a query. */
export const DeviceId = Type.String({ pattern: deviceIdPattern.source });
export const DeviceParams = Type.Object({ deviceId: DeviceId });

/** One page of rows; `next` is the cursor of the following page, or null on the last page. */
export const Page = <T extends TSchema>(row: T) =>
  Type.Object({ items: Type.Array(row), next: Nullable(Type.String()) });
