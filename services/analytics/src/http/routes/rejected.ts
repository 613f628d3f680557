import { deviceIdPattern } from '@thermomesh/contracts';
import { decodeCursor, pageOf, type HttpApp } from '@thermomesh/runtime';
import Type from 'typebox';
import type { RouteDeps } from '../app.ts';

import { Page, PageQuery, RejectedRow } from '../schemas.ts';

const RejectedQuery = Type.Object({
  ...PageQuery,
  deviceId: Type.Optional(Type.String({ pattern: deviceIdPattern.source })),
});

/** The dead letters: what was acknowledged and could not become a reading, with reason and raw bytes. Newest first. */
export function rejectedRoutes(app: HttpApp, { queries }: RouteDeps): void {
  app.get(
    '/v1/rejected',
    { schema: { querystring: RejectedQuery, response: { 200: Page(RejectedRow) } } },
    async ({ query }) => {
      const [before] =
        query.cursor === undefined
          ? [Number.MAX_SAFE_INTEGER]
          : decodeCursor<[number]>(query.cursor, ['number']);
      return pageOf(await queries.rejected(query.limit, before, query.deviceId), query.limit, (row) => [
        row.id,
      ]);
    },
  );
}
