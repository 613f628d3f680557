import { deviceIdPattern, measuredAtMaxMs } from '@thermomesh/contracts';
import { decodeCursor, HttpError, pageOf, type HttpApp } from '@thermomesh/runtime';
import Type from 'typebox';
import type { RouteDeps } from '../app.ts';

import { BucketRow, DeviceRow, Page, PageQuery, ReadingRow } from '../schemas.ts';

const DeviceParams = Type.Object({ deviceId: Type.String({ pattern: deviceIdPattern.source }) });
const Instant = (description: string) =>
  Type.Optional(Type.String({ maxLength: 40, description: `${description}; ISO 8601 or Unix ms` }));

/** Devices and their readings. */
export function deviceRoutes(app: HttpApp, { queries }: RouteDeps): void {
  app.get(
    '/v1/devices',
    { schema: { querystring: Type.Object(PageQuery), response: { 200: Page(DeviceRow) } } },
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
        throw new HttpError(404, 'devices.unknown', `no reading of "${params.deviceId}" is stored`);
      return device;
    },
  );

  const readingsSchema = {
    params: DeviceParams,
    querystring: Type.Object({
      ...PageQuery,
      from: Instant('first instant'),
      to: Instant('first instant that is too late'),
      bucket: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: 31 * 86_400,
          description: 'seconds: averages instead of readings',
        }),
      ),
    }),
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
        fromMs: instant(query.from, 0, 'from'),
        toMs: instant(query.to, measuredAtMaxMs, 'to'),
      };
      if (bucket !== undefined) {
        const fromMs =
          cursor === undefined
            ? interval.fromMs
            : decodeCursor<[number]>(cursor, ['number'])[0] + bucket * 1000;
        return pageOf(await queries.buckets({ ...interval, fromMs }, bucket), limit, (row) => [row.startMs]);
      }
      const key =
        cursor === undefined ? undefined : decodeCursor<[number, number]>(cursor, ['number', 'number']);
      const after = key === undefined ? undefined : { measuredAtMs: key[0], seq: key[1] };
      return pageOf(await queries.readings({ ...interval, after }), limit, (row) => [
        row.measuredAtMs,
        row.seq,
      ]);
    },
  );
}

function instant(text: string | undefined, fallback: number, name: string): number {
  if (text === undefined) return fallback;
  const ms = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  if (!Number.isFinite(ms) || ms < 0 || ms > measuredAtMaxMs) {
    throw new HttpError(400, 'http.bad_instant', `${name} must be ISO 8601 or Unix ms, from 1970 to 9999`);
  }
  return ms;
}
