/** Pages and filters of the HTTP routes. */
import { deviceIdPattern, Nullable, parseTimeText, type TimeLimits } from '@thermomesh/contracts';
import { HttpError } from '@thermomesh/runtime';
import Type, { type Static, type TSchema } from 'typebox';
import type { AnalyticsErrorCode } from '../core/errors.ts';
import type { RejectedFilter } from '../core/ports.ts';

/** Maximum number of rows in one response. */
export const pageRowsMax = 1000;

/** Refuses unknown query parameters: with a slip in its name, a filter would filter nothing. */
export const strict = { additionalProperties: false } as const;

/** The query parameters of every list. */
export const PageQuery = {
  limit: Type.Integer({ minimum: 1, maximum: pageRowsMax, default: 100 }),
  cursor: Type.Optional(Type.String({ maxLength: 200, description: '`next` of the previous page.' })),
};

/** The order of a list by time. */
export const OrderQuery = (initial: 'oldest' | 'newest') => ({
  order: Type.Union([Type.Literal('oldest'), Type.Literal('newest')], {
    default: initial,
    description:
      'Which rows come first. A cursor is a place in the list: with the other order it leads back from there.',
  }),
});

/** The id of a device, in a path or a query. */
export const DeviceId = Type.String({ pattern: deviceIdPattern.source });
export const DeviceParams = Type.Object({ deviceId: DeviceId });

/** One page of rows; `next` is the cursor of the following page, or null on the last page. */
export const Page = <T extends TSchema>(row: T) =>
  Type.Object({ items: Type.Array(row), next: Nullable(Type.String()) });

/** A point in time of a query. */
export const Instant = (description: string) =>
  Type.Optional(
    Type.String({ maxLength: 40, description: `${description}; RFC 3339 with a zone, or Unix ms.` }),
  );

/** Reads a point in time. @throws HttpError 400 `http.bad_instant` */
export function instant(name: string, text: string, times: TimeLimits): number {
  const parsed = parseTimeText(text, times);
  if ('ms' in parsed) return parsed.ms;
  throw new HttpError(400, 'http.bad_instant' satisfies AnalyticsErrorCode, `${name} ${parsed.problem}`, {
    param: name,
    in: 'query',
  });
}

/** The conditions on rejected messages. */
export const RejectedFilterQuery = {
  deviceId: Type.Optional(DeviceId),
  reason: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  since: Instant('Received at this time or later'),
  until: Instant('Received before this time'),
};
const RejectedFilterObject = Type.Object(RejectedFilterQuery);

/** The filter of a query. @throws HttpError 400 `http.bad_instant` */
export function filterOf(
  { deviceId, reason, since, until }: Static<typeof RejectedFilterObject>,
  times: TimeLimits,
): RejectedFilter {
  return {
    deviceId,
    reason,
    sinceMs: since === undefined ? undefined : instant('since', since, times),
    untilMs: until === undefined ? undefined : instant('until', until, times),
  };
}
