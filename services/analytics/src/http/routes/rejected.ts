import { decodeCursor, pageOf, type HttpApp } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { RejectedRow, RejectionCount } from '../../core/telemetry.ts';
import type { RouteDeps } from '../deps.ts';
import {
  DeviceId,
  DeviceParams,
  filterOf,
  OrderQuery,
  Page,
  PageQuery,
  RejectedFilterQuery,
  strict,
} from '../schemas.ts';
import { Timed, TimeQuery, withTimes } from '../times.ts';

const SummaryQuery = Type.Object({ ...PageQuery, ...TimeQuery, deviceId: Type.Optional(DeviceId) }, strict);
const RejectedQuery = Type.Object(
  { ...PageQuery, ...OrderQuery('newest'), ...TimeQuery, ...RejectedFilterQuery },
  strict,
);
const PageQueryObject = Type.Object({ ...PageQuery, ...TimeQuery }, strict);

/**
 * Adds the routes of rejections: dead letters (messages that were acknowledged and could not become
 * readings, with the reason and the raw bytes, newest first), and how many there were of each kind.
 */
export function rejectedRoutes(app: HttpApp, { queries, times }: RouteDeps): void {
  app.get(
    '/v1/rejected',
    { schema: { querystring: RejectedQuery, response: { 200: Timed(Page(RejectedRow)) } } },
    async ({ query }) => {
      const { limit, order, cursor, time } = query;
      const after = cursor === undefined ? undefined : decodeCursor<[number]>(cursor, ['integer'])[0];
      const rows = await queries.rejected({ limit, order, after }, filterOf(query, times));
      return withTimes(
        pageOf(rows, limit, (row) => [row.id]),
        time,
      );
    },
  );

  const countsOf = async ({ limit, cursor, time }: Static<typeof PageQueryObject>, deviceId?: string) => {
    const [device, reason] =
      cursor === undefined ? ['', ''] : decodeCursor<[string, string]>(cursor, ['string', 'string']);
    const counts = await queries.rejectionCounts(limit, { deviceId: device, reason }, deviceId);
    return withTimes(
      pageOf(counts, limit, (row) => [row.deviceId ?? '', row.reason]),
      time,
    );
  };
  app.get(
    '/v1/rejected/summary',
    { schema: { querystring: SummaryQuery, response: { 200: Timed(Page(RejectionCount)) } } },
    async ({ query }) => countsOf(query, query.deviceId),
  );
  app.get(
    '/v1/devices/:deviceId/rejections',
    {
      schema: {
        params: DeviceParams,
        querystring: PageQueryObject,
        response: { 200: Timed(Page(RejectionCount)) },
      },
    },
    async ({ params, query }) => countsOf(query, params.deviceId),
  );
}
