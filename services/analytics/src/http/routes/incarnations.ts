import { DeviceIncarnationDocument } from '@thermomesh/contracts';
import { decodeCursor, HttpError, pageOf, type HttpApp, type HttpRequest } from '@thermomesh/runtime';
import Type from 'typebox';
import type { AnalyticsErrorCode } from '../../core/errors.ts';
import type { Opening } from '../../core/ports.ts';
import type { RouteDeps } from '../deps.ts';
import { DeviceParams, Page, PageQuery, strict } from '../schemas.ts';
import { Timed, TimeQuery, withTimes } from '../times.ts';

const OpeningBody = Type.Union([
  Type.Object(
    {
      incarnation: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: Number.MAX_SAFE_INTEGER,
          description: 'The incarnation to open, above all that are known. Default: the next one.',
        }),
      ),
    },
    // A name with a slip would open the next incarnation instead of the one that was asked for.
    { additionalProperties: false },
  ),
  Type.Null(),
]);

/**
 * Adds the routes of the incarnations that operators open. A device that was replaced or has lost
 * its memory, and does not name its incarnation, begins a new life so.
 */
export function incarnationRoutes(app: HttpApp, { incarnations }: RouteDeps): void {
  const openSchema = {
    params: DeviceParams,
    headers: Type.Object({
      'idempotency-key': Type.Optional(
        Type.String({ description: 'The same key opens the same incarnation, however often it is sent.' }),
      ),
    }),
    body: Type.Optional(OpeningBody),
    response: { 200: Timed(DeviceIncarnationDocument), 201: Timed(DeviceIncarnationDocument) },
  };
  app.post(
    '/v1/devices/:deviceId/incarnations',
    { schema: openSchema, config: { access: 'admin' } },
    async (request, reply) => {
      const { deviceId } = request.params;
      const opening = await incarnations.open(deviceId, request.body?.incarnation, keyOf(request));
      const { incarnation, openedAtMs } = opened(deviceId, opening);
      if (opening.outcome === 'known') void reply.header('idempotency-replayed', 'true');
      return reply
        .code(opening.outcome === 'opened' ? 201 : 200)
        .send(withTimes({ deviceId, incarnation, openedAtMs }, undefined));
    },
  );

  app.get(
    '/v1/devices/:deviceId/incarnations',
    {
      schema: {
        params: DeviceParams,
        querystring: Type.Object({ ...PageQuery, ...TimeQuery }, strict),
        response: { 200: Timed(Page(DeviceIncarnationDocument)) },
      },
    },
    async ({ params, query: { limit, cursor, time } }) => {
      const [after] = cursor === undefined ? [0] : decodeCursor<[number]>(cursor, ['integer']);
      const rows = await incarnations.list(params.deviceId, limit, after);
      return withTimes(
        pageOf(rows, limit, (row) => [row.incarnation]),
        time,
      );
    },
  );
}

/** The Idempotency-Key of a request. @throws HttpError 400 */
function keyOf(request: HttpRequest): string | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined || (typeof key === 'string' && /^[\x21-\x7e]{1,128}$/.test(key))) return key;
  throw new HttpError(
    400,
    'devices.bad_key' satisfies AnalyticsErrorCode,
    'Idempotency-Key must be 1–128 visible ASCII characters',
    { param: 'idempotency-key', in: 'header' },
  );
}

/** @throws HttpError 409 or 422 if nothing was opened */
function opened(deviceId: string, opening: Opening): Opening & { outcome: 'opened' | 'known' } {
  const { incarnation } = opening;
  switch (opening.outcome) {
    case 'opened':
    case 'known':
      return opening;
    case 'key_reused':
      throw refusal(422, 'devices.key_reused', `this Idempotency-Key has opened incarnation ${incarnation}`);
    case 'too_low':
      throw refusal(
        409,
        'devices.incarnation_too_low',
        `"${deviceId}" is known with incarnation ${incarnation}: a new one must be above it`,
      );
    case 'exhausted':
      throw refusal(
        409,
        'devices.no_incarnation_left',
        `"${deviceId}" has used incarnation ${incarnation}, the highest that there is`,
      );
  }
}

function refusal(status: number, code: AnalyticsErrorCode, detail: string): HttpError {
  return new HttpError(status, code, detail);
}
