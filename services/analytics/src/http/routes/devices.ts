import type { TimeLimits } from '@thermomesh/contracts';
import { decodeCursor, HttpError, pageOf, type HttpApp } from '@thermomesh/runtime';
import Type from 'typebox';
import type { AnalyticsErrorCode } from '../../core/errors.ts';
import type { Order } from '../../core/ports.ts';
import { BucketRow, DeviceRow, ReadingRow } from '../../core/telemetry.ts';
import type { RouteDeps } from '../deps.ts';
import { DeviceParams, instant, Instant, OrderQuery, Page, PageQuery, strict } from '../schemas.ts';
import { Timed, TimeQuery, withTimes } from '../times.ts';

/** Adds the routes of devices and their readings. */
export function deviceRoutes(app: HttpApp, deps: RouteDeps): void {
  const { queries } = deps;
  app.get(
    '/v1/devices',
    {
      schema: {
        querystring: Type.Object({ ...PageQuery, ...TimeQuery }, strict),
        response: { 200: Timed(Page(DeviceRow)) },
      },
    },
    async ({ query }) => {
      const [after] = query.cursor === undefined ? [''] : decodeCursor<[string]>(query.cursor, ['string']);
      const rows = await queries.devices(query.limit, after);
      return withTimes(
        pageOf(rows, query.limit, (row) => [row.deviceId]),
        query.time,
      );
    },
  );

  app.get(
    '/v1/devices/:deviceId',
    {
      schema: {
        params: DeviceParams,
        querystring: Type.Object(TimeQuery, strict),
        response: { 200: Timed(DeviceRow) },
      },
    },
    async ({ params, query }) => {
      const device = await queries.device(params.deviceId);
      if (device === undefined)
        throw new HttpError(
          404,
          'devices.unknown' satisfies AnalyticsErrorCode,
          `no reading of "${params.deviceId}" is stored`,
        );
      return withTimes(device, query.time);
    },
  );

  readingsRoute(app, deps);
}

/** Adds the route of one device's readings, or of averages over buckets of them. */
function readingsRoute(app: HttpApp, { queries, times }: RouteDeps): void {
  const readingsSchema = {
    params: DeviceParams,
    querystring: Type.Object(
      {
        ...PageQuery,
        ...OrderQuery('oldest'),
        ...TimeQuery,
        from: Instant('Start of the interval, inclusive'),
        to: Instant('End of the interval, exclusive'),
        bucket: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: 31 * 86_400,
            description: 'Bucket size in seconds: returns averages instead of readings.',
          }),
        ),
      },
      strict,
    ),
    response: { 200: Timed(Type.Union([Page(ReadingRow), Page(BucketRow)])) },
  };
  app.get(
    '/v1/devices/:deviceId/readings',
    { schema: readingsSchema },
    async ({ params: { deviceId }, query }) => {
      const { limit, bucket, cursor, order, time } = query;
      const interval = {
        deviceId,
        limit,
        order,
        fromMs: query.from === undefined ? storedTimes.minMs : instant('from', query.from, times),
        toMs: query.to === undefined ? storedTimes.maxMs : instant('to', query.to, times),
      };
      if (bucket !== undefined) {
        const rest = cursor === undefined ? interval : beyond(interval, cursor, bucket * 1000);
        const page = pageOf(await queries.buckets(rest, bucket), limit, (row) => [row.startMs]);
        return withTimes(page, time);
      }
      const after = cursor === undefined ? undefined : keyOf(cursor);
      const page = pageOf(await queries.readings({ ...interval, after }), limit, (row) => [
        row.measuredAtMs,
        row.incarnation,
        row.seq,
      ]);
      return withTimes(page, time);
    },
  );
}

/** The part of the interval that lies beyond the bucket of a cursor. @throws HttpError 400 */
function beyond<I extends { order: Order; fromMs: number; toMs: number }>(
  interval: I,
  cursor: string,
  bucketMs: number,
): I {
  const [startMs] = decodeCursor<[number]>(cursor, ['integer']);
  return interval.order === 'oldest'
    ? { ...interval, fromMs: Math.max(interval.fromMs, startMs + bucketMs) }
    : { ...interval, toMs: Math.min(interval.toMs, startMs) };
}

/** The last row of the previous page. @throws HttpError 400 */
function keyOf(cursor: string): { measuredAtMs: number; incarnation: number; seq: number } {
  const [measuredAtMs, incarnation, seq] = decodeCursor<[number, number, number]>(cursor, [
    'integer',
    'integer',
    'integer',
  ]);
  return { measuredAtMs, incarnation, seq };
}

/** Every time that any setting has ever let into the table, in Unix ms. */
const storedTimes: TimeLimits = { minMs: 0, maxMs: Date.UTC(10_000, 0, 1) };
