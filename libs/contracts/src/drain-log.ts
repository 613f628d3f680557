/**
 * What the gateway and the coordinator say to each other about the log behind the drain session, so
 * that a database that was restored is noticed and gets again what it lost (ADR 0016).
 */
import Type, { type Static } from 'typebox';
import { Count, Nullable } from './schema-parts.ts';

/** The gateway's log at one moment. `accepted` − `buffered` messages are acknowledged. */
export const DrainLogState = Type.Object({
  log: Type.String({ description: 'UUID of the store.' }),
  accepted: Count,
  buffered: Count,
  /** Log id up to which the drain session has acknowledged messages. */
  drainedLogId: Count,
  /** Log id after which the gateway still has every message; at most `drainedLogId`. */
  keptAfterLogId: Count,
  /**
   * UUID of the database that the log is drained into; null before the first one. Gateways of
   * earlier versions do not tell.
   */
  database: Type.Optional(Nullable(Type.String())),
});
export type DrainLogState = Static<typeof DrainLogState>;

/** Asks the gateway to put the messages after `afterLogId` back into its buffer. */
export const DrainResend = Type.Object({ log: Type.String(), afterLogId: Count });
export type DrainResend = Static<typeof DrainResend>;

/** Tells the gateway which database its log is drained into from now on (ADR 0020). */
export const DrainDatabase = Type.Object({ log: Type.String(), database: Type.String() });
export type DrainDatabase = Static<typeof DrainDatabase>;

/** A log, the database that it was drained into, and the one that the coordinator works with. */
export const OtherDatabase = Type.Object({
  log: Type.String(),
  database: Type.String(),
  former: Type.String(),
});
export type OtherDatabase = Static<typeof OtherDatabase>;

/**
 * Messages that were acknowledged and that neither the database nor the gateway has any more: those
 * with log ids from `fromLogId` up to `toLogId`.
 */
export const DrainGap = Type.Object({
  log: Type.String(),
  fromLogId: Count,
  toLogId: Count,
  messages: Count,
});
export type DrainGap = Static<typeof DrainGap>;

/** The drain as the node that coordinates sees it. */
export const DrainView = Type.Object({
  state: Type.Union([
    Type.Literal('opening'),
    Type.Literal('draining'),
    Type.Literal('gap'),
    Type.Literal('other_database'),
  ]),
  /** The gap at which the drain has stopped; null in every other state. */
  gap: Nullable(DrainGap),
  /** Why nothing is drained, in the state `other_database`. */
  otherDatabase: Type.Optional(OtherDatabase),
});
export type DrainView = Static<typeof DrainView>;

/** Answer of `POST /v1/drain/accept-gap`. */
export const AcceptedGap = Type.Object({ accepted: DrainGap });
export type AcceptedGap = Static<typeof AcceptedGap>;
