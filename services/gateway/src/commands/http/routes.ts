import { randomUUID } from 'node:crypto';
import {
  CommandAccepted,
  CommandPage,
  CommandRequest,
  commandStatuses,
  CommandView,
  deviceIdPattern,
  isCustomerKey,
} from '@thermomesh/contracts';
import { decodeCursor, pageOf, type HttpApp, type HttpRequest } from '@thermomesh/runtime';
import Type from 'typebox';
import type { Commands } from '../commands.ts';
import { acceptedOf, statusUrlOf, viewOf, type Command } from '../core/command.ts';
import { isOpen } from '../core/lifecycle.ts';
import type { AcceptResult } from '../core/ports.ts';
import { expiryOf, orderOf, requestText } from './order.ts';
import { problem } from './problem.ts';
import { withAnswers } from './unavailable.ts';

export interface CommandRouteDeps {
  /** Undefined if the settings name no database. */
  commands: Commands | undefined;
  callerOf: (request: HttpRequest) => string;
  /** @throws HttpError 429 */
  limit: (request: HttpRequest) => Promise<void>;
}

const pageRowsMax = 1_000;
const pageRowsDefault = 100;
/** Maximum size of the body of a new command. */
const bodyBytesMax = 4_096;
/** Switching commands on takes an operator more than a minute. */
const offRetryAfterSeconds = 60;

const deviceId = Type.String({ pattern: deviceIdPattern.source, examples: ['room-1'] });
const DeviceParams = Type.Object({ deviceId });
const CommandParams = Type.Object({
  deviceId,
  commandId: Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
});
const ListQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: pageRowsMax, description: `Default: ${pageRowsDefault}.` }),
    ),
    cursor: Type.Optional(Type.String({ maxLength: 200, description: '`next` of the page before.' })),
    status: Type.Optional(Type.Enum([...commandStatuses])),
  },
  { additionalProperties: false },
);

interface Common {
  config: { access: 'command' };
  onRequest: ((request: HttpRequest) => Promise<void>)[];
}

/** Routes to send commands to devices and to follow them, all with the scope `command`. */
export function commandRoutes(app: HttpApp, deps: CommandRouteDeps): void {
  const common: Common = { config: { access: 'command' }, onRequest: [deps.limit] };
  sendRoute(app, deps, common);
  readRoutes(app, deps, common);
  cancelRoute(app, deps, common);
  eventRoute(app, deps, common);
}

/** Answers 202 when the command is stored (I9). */
function sendRoute(app: HttpApp, deps: CommandRouteDeps, common: Common): void {
  app.post(
    '/v1/devices/:deviceId/commands',
    {
      ...common,
      bodyLimit: bodyBytesMax,
      schema: {
        params: DeviceParams,
        body: CommandRequest,
        response: { 202: CommandAccepted },
      },
    },
    async (request, reply) => {
      const commands = commandsOf(deps);
      const callerKey = callerKeyOf(request);
      const { params, body } = request;
      const order = orderOf(body);
      const expiry = expiryOf(body);
      const text = requestText(params.deviceId, body);
      const result = await withAnswers(commands.limits.retryAfterSeconds, () =>
        commands.accept({
          ...order,
          commandId: randomUUID(),
          deviceId: params.deviceId,
          caller: deps.callerOf(request),
          callerKey,
          request: text,
          ...(expiry === undefined ? {} : { expiry }),
        }),
      );
      const { commandId, deadlineMs, replayed } = stored(result, text, commands);
      if (replayed) void reply.header('idempotency-replayed', 'true');
      return reply
        .code(202)
        .header('location', statusUrlOf(params.deviceId, commandId))
        .send(acceptedOf(params.deviceId, commandId, deadlineMs));
    },
  );
}

/** @throws HttpError 400, 422, 429 if the command was not stored */
function stored(result: AcceptResult, text: string, { limits }: Commands) {
  const seconds = {
    minimum: limits.accept.expiresMinMs / 1_000,
    maximum: limits.accept.expiresMaxMs / 1_000,
  };
  switch (result.type) {
    case 'deadline_too_soon':
    case 'deadline_too_late':
      throw problem(
        400,
        'command.bad_deadline',
        `the deadline must be ${seconds.minimum} to ${seconds.maximum} s after the clock of the database`,
        { param: 'deadline', in: 'body' },
      );
    case 'queue_full':
      throw problem(
        429,
        'command.queue_full',
        `the device has ${limits.accept.openMax} open commands: wait for one to end, or cancel one`,
        { retryAfterSeconds: limits.retryAfterSeconds },
      );
    case 'created':
    case 'exists':
      if (result.request !== text)
        throw problem(422, 'command.other_parameters', 'this Idempotency-Key was used with other parameters');
      return { ...result, replayed: result.type === 'exists' };
  }
}

function readRoutes(app: HttpApp, deps: CommandRouteDeps, common: Common): void {
  app.get(
    '/v1/devices/:deviceId/commands/:commandId',
    {
      ...common,
      schema: {
        params: CommandParams,
        response: { 200: CommandView },
      },
    },
    async (request) => viewOf(await find(deps, request.params)),
  );
  app.get(
    '/v1/devices/:deviceId/commands',
    {
      ...common,
      schema: {
        params: DeviceParams,
        querystring: ListQuery,
        response: { 200: CommandPage },
      },
    },
    async (request) => {
      const { store, limits } = commandsOf(deps);
      const { limit = pageRowsDefault, cursor, status } = request.query;
      const rows = await withAnswers(limits.retryAfterSeconds, () =>
        store.list({
          deviceId: request.params.deviceId,
          limit,
          ...(cursor === undefined ? {} : { beforeId: decodeCursor<[number]>(cursor, ['integer'])[0] }),
          ...(status === undefined ? {} : { status }),
        }),
      );
      const page = pageOf(rows, limit, ({ id }) => [id]);
      return { items: page.items.map(viewOf), next: page.next };
    },
  );
}

/** A command that was sent may have been obeyed; cancelling it only ends its deliveries. */
function cancelRoute(app: HttpApp, deps: CommandRouteDeps, common: Common): void {
  app.delete(
    '/v1/devices/:deviceId/commands/:commandId',
    {
      ...common,
      schema: {
        params: CommandParams,
        response: { 200: CommandView },
      },
    },
    async (request) => {
      const { store, limits } = commandsOf(deps);
      const { deviceId: device, commandId } = request.params;
      const cancelled = await withAnswers(limits.retryAfterSeconds, () => store.cancel(device, commandId));
      const found = cancelled ?? (await find(deps, request.params));
      if (found.status !== 'cancelled')
        throw problem(409, 'command.final', `the command is ${found.status} and cannot be cancelled`);
      return viewOf(found);
    },
  );
}

function eventRoute(app: HttpApp, deps: CommandRouteDeps, common: Common): void {
  app.get(
    '/v1/devices/:deviceId/commands/:commandId/events',
    // Without HEAD: no client would read its stream, and nothing would close it.
    {
      ...common,
      exposeHeadRoute: false,
      schema: {
        params: CommandParams,
        produces: ['text/event-stream'],
      },
    },
    async (request, reply) => {
      const { streams, limits } = commandsOf(deps);
      const found = await find(deps, request.params);
      // A client that has seen the last event must not reconnect (HTML, "server-sent events": 204
      // ends reconnection).
      if (!isOpen(found.status) && request.headers['last-event-id'] === found.status)
        return reply.code(204).send();
      const stream = streams.open(deps.callerOf(request), found);
      const options = { retryAfterSeconds: limits.retryAfterSeconds };
      if (stream === 'streams')
        throw problem(503, 'command.too_many_streams', 'too many event streams are open', options);
      if (stream === 'streams_of_caller')
        throw problem(
          429,
          'command.too_many_streams_of_key',
          'too many event streams of this API key are open',
          options,
        );
      return reply
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        .type('text/event-stream')
        .send(stream);
    },
  );
}

async function find(
  deps: CommandRouteDeps,
  { deviceId: device, commandId }: { deviceId: string; commandId: string },
): Promise<Command> {
  const { store, limits } = commandsOf(deps);
  const found = await withAnswers(limits.retryAfterSeconds, () => store.find(device, commandId));
  if (found === undefined) throw problem(404, 'command.unknown', 'the device has no command with this id');
  return found;
}

function callerKeyOf(request: HttpRequest): string {
  const header = request.headers['idempotency-key'];
  const issue = { param: 'idempotency-key', in: 'header' } as const;
  if (header === undefined || header === '')
    throw problem(
      400,
      'command.missing_key',
      'send a key of your own in the header Idempotency-Key: the same key is the same command',
      issue,
    );
  if (typeof header !== 'string' || !isCustomerKey(header))
    throw problem(400, 'command.bad_key', 'Idempotency-Key must be 1–128 visible ASCII characters', issue);
  return header;
}

/** @throws HttpError 503 if commands are switched off */
function commandsOf({ commands }: CommandRouteDeps): Commands {
  if (commands !== undefined) return commands;
  throw problem(503, 'command.off', 'this gateway has no database for commands: see its settings', {
    retryAfterSeconds: offRetryAfterSeconds,
  });
}
