import { decodeCursor, pageOf, type HttpApp } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { RejectedRow, RejectionCount } from '../../core/telemetry.ts';
import type { RouteDeps } from '../deps.ts';
import {
  DeviceId,
  DeviceParams,
  filterOf,
  Page,
  PageQuery,
  RejectedFilterQuery,
  strict,
} from '../schemas.ts';

const SummaryQuery = Type.Object({ ...PageQuery, deviceId: Type.Optional(DeviceId) }, strict);
const RejectedQuery = Type.Object({ ...PageQuery, ...RejectedFilterQuery }, strict);
const PageQueryObject = Type.Object(PageQuery, strict);

/**
 * Adds the routes of rejections: dead letters (messages that were acknowledged and could not become
 * readings, with the reason and the raw bytes, newest first), and how many there were of each kind.
 */
export function rejectedRoutes(app: HttpApp, { queries, times }: RouteDeps): void {
  app.get(
    '/v1/rejected',
    { schema: { querystring: RejectedQuery, response: { 200: Page(RejectedRow) } } },
    async ({ query }) => {
      const [before] =
        query.cursor === undefined
          ? [Number.MAX_SAFE_INTEGER]
          : decodeCursor<[number]>(query.cursor, ['integer']);
      return pageOf(
        await queries.rejected(query.limit, before, filterOf(query, times)),
        query.limit,
        (row) => [row.id],
      );
    },
  );

  const countsOf = async ({ limit, cursor }: Static<typeof PageQueryObject>, deviceId?: string) => {
    const [device, reason] =
      cursor === undefined ? ['', ''] : decodeCursor<[string, string]>(cursor, ['string', 'string']);
    const counts = await queries.rejectionCounts(limit, { deviceId: device, reason }, deviceId);
    return pageOf(counts, limit, (row) => [row.deviceId ?? '', row.reason]);
  };
  app.get(
    '/v1/rejected/summary',
    { schema: { querystring: SummaryQuery, response: { 200: Page(RejectionCount) } } },
    async ({ query }) => countsOf(query, query.deviceId),
  );
  app.get(
    '/v1/devices/:deviceId/rejections',
    {
      schema: { params: DeviceParams, querystring: PageQueryObject, response: { 200: Page(RejectionCount) } },
    },
    async ({ params, query }) => countsOf(query, params.deviceId),
  );
}
