import type { TimeLimits } from '@thermomesh/contracts';
import { decodeCursor, HttpError, pageOf, type HttpApp } from '@thermomesh/runtime';
import Type from 'typebox';
import type { AnalyticsErrorCode } from '../../core/errors.ts';
import { BucketRow, DeviceRow, ReadingRow } from '../../core/telemetry.ts';
import type { RouteDeps } from '../deps.ts';
import { DeviceParams, instant, Instant, Page, PageQuery, strict } from '../schemas.ts';

/** Adds the routes of devices and their readings. */
export function deviceRoutes(app: HttpApp, { queries, times }: RouteDeps): void {
  app.get(
    '/v1/devices',
    { schema: { querystring: Type.Object(PageQuery, strict), response: { 200: Page(DeviceRow) } } },
    async ({ query }) => {
      const [after] = query.cursor === undefined ? [''] : decodeCursor<[string]>(query.cursor, ['string']);
      return pageOf(await queries.devices(query.limit, after), query.limit, (row) => [row.deviceId]);
    },
  );

  app.get(
    '/v1/devices/:deviceId',
    { schema: { params: DeviceParams, response: { 200: DeviceRow } } },
    async ({ params }) => {
      const device = await queries.device(params.deviceId);
      if (device === undefined)
        throw new HttpError(
          404,
          'devices.unknown' satisfies AnalyticsErrorCode,
          `no reading of "${params.deviceId}" is stored`,
        );
      return device;
    },
  );

  const readingsSchema = {
    params: DeviceParams,
    querystring: Type.Object(
      {
        ...PageQuery,
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
    response: { 200: Type.Union([Page(ReadingRow), Page(BucketRow)]) },
  };
  app.get(
    '/v1/devices/:deviceId/readings',
    { schema: readingsSchema },
    async ({ params: { deviceId }, query }) => {
      const { limit, bucket, cursor } = query;
      const interval = {
        deviceId,
        limit,
        fromMs: query.from === undefined ? storedTimes.minMs : instant('from', query.from, times),
        toMs: query.to === undefined ? storedTimes.maxMs : instant('to', query.to, times),
      };
      if (bucket !== undefined) {
        const fromMs =
          cursor === undefined
            ? interval.fromMs
            : decodeCursor<[number]>(cursor, ['integer'])[0] + bucket * 1000;
        return pageOf(await queries.buckets({ ...interval, fromMs }, bucket), limit, (row) => [row.startMs]);
      }
      const after = cursor === undefined ? undefined : keyOf(cursor);
      return pageOf(await queries.readings({ ...interval, after }), limit, (row) => [
        row.measuredAtMs,
        row.incarnation,
        row.seq,
      ]);
    },
  );
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
