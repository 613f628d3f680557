import { AcceptedGap, DrainGap } from '@thermomesh/contracts';
import { codeOf, HttpError, messageOf, type HttpApp } from '@thermomesh/runtime';
import Type from 'typebox';
import type { AnalyticsErrorCode } from '../../core/errors.ts';
import type { RouteDeps } from '../deps.ts';

/** The gap is named, so that an operator never accepts another one than was shown. */
const GapBody = Type.Pick(DrainGap, ['log', 'fromLogId', 'toLogId']);

const conflicts: readonly (AnalyticsErrorCode | undefined)[] = ['drain.no_such_gap', 'drain.not_coordinator'];

/**
 * Adds the route by which an operator accepts that acknowledged messages are lost with a database
 * that was restored. Only the coordinator can, and only for the gap at which its drain waits.
 */
export function drainRoutes(app: HttpApp, { acceptGap }: RouteDeps): void {
  app.post(
    '/v1/drain/accept-gap',
    { config: { access: 'admin' }, schema: { body: GapBody, response: { 200: AcceptedGap } } },
    async ({ body }) => {
      try {
        return { accepted: await acceptGap(body) };
      } catch (error) {
        const code = conflicts.find((each) => each === codeOf(error));
        if (code === undefined) throw error;
        throw new HttpError(409, code, messageOf(error), { cause: error });
      }
    },
  );
}
