import { DeletedRejections, ErasedDevice, ErasedRows, ReplayDocument } from '@thermomesh/contracts';
import { codeOf, HttpError, messageOf, type HttpApp } from '@thermomesh/runtime';
import Type from 'typebox';
import type { AnalyticsErrorCode } from '../../core/errors.ts';
import type { RouteDeps } from '../deps.ts';
import { DeviceParams, filterOf, RejectedFilterQuery, strict } from '../schemas.ts';

const RejectedParams = Type.Object({ id: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }) });

/**
 * Adds the routes by which operators work on stored data: a rejected message is tried once more or
 * deleted, and the data of a device is erased. All that is removed is counted (ADR 0026).
 */
export function upkeepRoutes(app: HttpApp, deps: RouteDeps): void {
  const { upkeep, times, queries } = deps;
  const config = { access: 'admin' } as const;
  app.post(
    '/v1/rejected/:id/replay',
    { config, schema: { params: RejectedParams, response: { 200: ReplayDocument } } },
    async ({ params: { id } }) => replayOf(id, deps),
  );

  app.delete(
    '/v1/rejected/:id',
    { config, schema: { params: RejectedParams, response: { 200: DeletedRejections } } },
    async ({ params: { id } }) => {
      const { deleted } = await upkeep.deleteRejected({ id });
      if (deleted === 0) throw unknownMessage(id);
      return { deleted, complete: true };
    },
  );

  app.delete(
    '/v1/rejected',
    {
      config,
      schema: {
        querystring: Type.Object(RejectedFilterQuery, strict),
        response: { 200: DeletedRejections },
      },
    },
    async ({ query }) => {
      // Without a filter, a slip would delete the evidence of every device.
      if (Object.keys(query).length === 0)
        throw refusal(400, 'rejected.no_filter', 'name a deviceId, a reason, since or until');
      return upkeep.deleteRejected(filterOf(query, times));
    },
  );

  app.delete(
    '/v1/devices/:deviceId',
    { config, schema: { params: DeviceParams, response: { 200: ErasedDevice } } },
    async ({ params: { deviceId } }) => {
      const known = await queries.device(deviceId);
      const erased = await upkeep.eraseDevice(deviceId);
      if (known === undefined && erased.readings + erased.rejections === 0)
        throw refusal(404, 'devices.unknown', `nothing of "${deviceId}" is stored`);
      return erased;
    },
  );

  app.get(
    '/v1/devices/:deviceId/erased',
    { schema: { params: DeviceParams, response: { 200: ErasedRows } } },
    async ({ params: { deviceId } }) => ({ items: await upkeep.erasedOf(deviceId) }),
  );
}

/** @throws HttpError 404, 409 */
async function replayOf(id: number, { upkeep, replay }: RouteDeps): Promise<ReplayDocument> {
  const message = await upkeep.rejectedMessage(id);
  if (message === undefined) throw unknownMessage(id);
  if (!message.isWhole)
    throw refusal(
      409,
      'rejected.cut',
      `only the beginning of message ${id} is kept, so it cannot be replayed`,
    );
  try {
    return await replay(message);
  } catch (error) {
    const code = 'drain.not_coordinator' satisfies AnalyticsErrorCode;
    if (codeOf(error) !== code) throw error;
    throw new HttpError(409, code, messageOf(error), { cause: error });
  }
}

function unknownMessage(id: number): HttpError {
  return refusal(404, 'rejected.unknown', `no rejected message ${id} is kept`);
}

function refusal(status: number, code: AnalyticsErrorCode, detail: string): HttpError {
  return new HttpError(status, code, detail);
}
