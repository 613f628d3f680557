/** Bodies of the HTTP routes that one process serves and another reads. */
import Type, { type Static } from 'typebox';
import { Qos0Account } from './device-notices.ts';
import { DrainView } from './drain-log.ts';
import { Count, Nullable } from './schema-parts.ts';

/** `GET /v1/broker` of the gateway. */
export const BrokerDocument = Type.Object({
  log: Type.String({ description: 'UUID of the store; log ids are unique within it' }),
  store: Type.Object({
    state: Type.Union([Type.Literal('ok'), Type.Literal('full'), Type.Literal('failing')]),
    reason: Nullable(Type.String()),
    bytes: Count,
    bytesMax: Count,
  }),
  connections: Count,
  sessions: Type.Array(
    Type.Object({
      clientId: Type.String(),
      connected: Type.Boolean(),
      queued: Count,
      subscriptions: Type.Array(Type.String()),
    }),
  ),
  drain: Type.Object({
    connected: Type.Boolean(),
    node: Nullable(Type.Integer()),
    epoch: Nullable(Type.Integer()),
    inFlight: Count,
  }),
  backlog: Type.Object({ messages: Count, bytes: Count, oldestReceivedAtMs: Nullable(Type.Number()) }),
  /** Acknowledged messages that are kept for a database that is behind; they are not buffered. */
  kept: Type.Optional(Type.Object({ bytes: Count, bytesMax: Count, afterLogId: Count })),
  /** Readings at QoS 0. Absent in the answer of an earlier version. */
  qos0: Type.Optional(
    Type.Object({
      mode: Type.Enum(['relay', 'store'], {
        description: 'relay: not stored, only relayed to subscribers. store: stored best effort.',
      }),
      waiting: Type.Integer({ minimum: 0, description: 'Readings that wait for the coordinator.' }),
      dropped: Type.Integer({
        minimum: 0,
        description: 'Readings given up since the gateway started, because their queue was full.',
      }),
    }),
  ),
  counters: Type.Object({
    accepted: Type.Integer({
      minimum: 0,
      description: 'I6: counted in the transaction that stored the message',
    }),
    buffered: Type.Integer({
      minimum: 0,
      description: 'I6: messages in the store that the drain session has not acknowledged',
    }),
    qos0: Type.Integer({
      minimum: 0,
      description: 'readings at QoS 0 since the gateway started; outside I1 and I6',
    }),
    refusedConnections: Count,
    refusedPublishes: Count,
  }),
});
export type BrokerDocument = Static<typeof BrokerDocument>;

/** `GET /v1/coordinator` of any analytics node. */
export const CoordinatorDocument = Type.Object({
  nodeId: Type.Integer(),
  role: Type.Union([
    Type.Literal('coordinator'),
    Type.Literal('follower'),
    Type.Literal('electing'),
    Type.Literal('stopped'),
  ]),
  coordinator: Nullable(Type.Object({ node: Type.Integer(), epoch: Type.Integer() })),
  fit: Type.Boolean(),
  /** Null if this node does not coordinate. */
  drain: Type.Optional(Nullable(DrainView)),
  peers: Type.Array(Type.Object({ nodeId: Type.Integer(), connected: Type.Boolean(), fit: Type.Boolean() })),
});
export type CoordinatorDocument = Static<typeof CoordinatorDocument>;

/**
 * Body of `GET /v1/accounts` of any analytics node: the terms of I6 that PostgreSQL holds, by
 * gateway store and summed.
 */
export const AccountsDocument = Type.Object({
  logs: Type.Array(
    Type.Object({
      log: Type.String(),
      highWaterMark: Count,
      stored: Count,
      duplicate: Count,
      rejected: Count,
      /** Messages that a restored database lost, and whose loss an operator has accepted. */
      acceptedGap: Type.Optional(Count),
    }),
  ),
  stored: Count,
  duplicate: Count,
  rejected: Count,
  acceptedGap: Type.Optional(Count),
  /** Readings at QoS 0, which are outside I6. Absent in the answer of an earlier version. */
  qos0: Type.Optional(Qos0Account),
  /** Stored readings that were erased with their device; `stored` still counts them. */
  erased: Type.Optional(Count),
});
export type AccountsDocument = Static<typeof AccountsDocument>;

/** What a parameter may be: its values, or the bounds of its value. */
export const AllowedValues = Type.Union([
  Type.Array(Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()])),
  Type.Object({
    minimum: Type.Optional(Type.Number()),
    maximum: Type.Optional(Type.Number()),
    minLength: Type.Optional(Type.Integer()),
    maxLength: Type.Optional(Type.Integer()),
    minItems: Type.Optional(Type.Integer()),
    maxItems: Type.Optional(Type.Integer()),
    pattern: Type.Optional(Type.String({ description: 'A regular expression of JSON Schema.' })),
  }),
]);
export type AllowedValues = Static<typeof AllowedValues>;

/** Where in a request a parameter stands. */
export const ParameterPlace = Type.Union([
  Type.Literal('query'),
  Type.Literal('body'),
  Type.Literal('path'),
  Type.Literal('header'),
]);
export type ParameterPlace = Static<typeof ParameterPlace>;

/** RFC 9457 problem document: the body of every error answer. */
export const ProblemDocument = Type.Object({
  type: Type.String({ description: 'Address of the page that explains `code`.' }),
  title: Type.String({ description: 'Name of the status.' }),
  status: Type.Integer(),
  detail: Type.Optional(Type.String({ description: 'What is wrong with this request, for people.' })),
  code: Type.Optional(Type.String({ description: 'Stable name of the error, for programs.' })),
  param: Type.Optional(
    Type.String({
      description:
        'The wrong query parameter, path parameter or header, or the path of the wrong field, such as `rates.drop` or `next[3]`.',
    }),
  ),
  in: Type.Optional(ParameterPlace),
  allowed: Type.Optional(AllowedValues),
  errors: Type.Optional(
    Type.Array(Type.String(), {
      description: 'Every issue of the request, if there are several; `detail` is the first.',
    }),
  ),
  requestId: Type.Optional(
    Type.String({ description: 'The id of the request, which the log of the service has, too.' }),
  ),
});
export type ProblemDocument = Static<typeof ProblemDocument>;
