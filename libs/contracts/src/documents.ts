/** What `mesh … --json` prints: a public contract; fields are added, never renamed. */
import Type, { type Static } from 'typebox';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Count = Type.Integer({ minimum: 0 });

/** Percentiles in milliseconds; null where nothing was measured. */
export const Latency = Type.Object({
  p50: Nullable(Type.Number()),
  p99: Nullable(Type.Number()),
  max: Nullable(Type.Number()),
});
export type Latency = Static<typeof Latency>;

const Coordinator = Type.Object({ node: Type.Integer(), epoch: Type.Integer() });

/** I6's terms as seen now; `inFlight` is the largest difference that batches under way may explain. */
export const Accounts = Type.Object({
  accepted: Nullable(Count),
  stored: Nullable(Count),
  duplicate: Nullable(Count),
  rejected: Nullable(Count),
  buffered: Nullable(Count),
  inFlight: Nullable(Count),
  balanced: Nullable(Type.Boolean()),
});
export type Accounts = Static<typeof Accounts>;

/** One process of the mesh. */
export const ProcessStatus = Type.Object({
  name: Type.String(),
  role: Type.String(),
  pid: Nullable(Type.Integer()),
  url: Nullable(Type.String()),
  ready: Type.Boolean(),
});
export type ProcessStatus = Static<typeof ProcessStatus>;

/** `mesh status --json` */
export const StatusDocument = Type.Object({
  name: Type.String(),
  ready: Type.Boolean(),
  mqttUrl: Nullable(Type.String()),
  httpUrl: Nullable(Type.String()),
  databaseUrl: Nullable(Type.String()),
  redisUrl: Nullable(Type.String()),
  zookeeperHosts: Nullable(Type.String()),
  kafkaBrokers: Nullable(Type.String()),
  coordinator: Nullable(Coordinator),
  equalizerCoordinator: Nullable(Coordinator),
  processes: Type.Array(ProcessStatus),
  accounts: Accounts,
});
export type StatusDocument = Static<typeof StatusDocument>;

/** One invariant's verdict. */
export const InvariantVerdict = Type.Object({
  id: Type.String({ pattern: '^I[1-6]$' }),
  ok: Type.Boolean(),
  detail: Type.String(),
});
export type InvariantVerdict = Static<typeof InvariantVerdict>;

/** `mesh load --json` */
export const LoadDocument = Type.Object({
  sent: Count,
  acked: Count,
  stored: Count,
  rejected: Count,
  lost: Count,
  duplicated: Type.Integer({ minimum: 0, description: 'in both tables, or rejected twice' }),
  corrupted: Type.Integer({ minimum: 0, description: 'stored with other values than sent' }),
  ackMs: Latency,
  endToEndMs: Latency,
  ratePerSecond: Type.Number(),
});
export type LoadDocument = Static<typeof LoadDocument>;

/** `mesh verify --json` */
export const VerifyDocument = Type.Object({ ok: Type.Boolean(), invariants: Type.Array(InvariantVerdict) });
export type VerifyDocument = Static<typeof VerifyDocument>;

/** `mesh chaos --json` */
/** A rule of the series itself, beside the invariants; `id` names the rule. */
export const RuleVerdict = Type.Object({ id: Type.String(), ok: Type.Boolean(), detail: Type.String() });
export type RuleVerdict = Static<typeof RuleVerdict>;

export const ChaosDocument = Type.Object({
  ok: Type.Boolean(),
  target: Type.String(),
  rounds: Count,
  failoverMs: Nullable(
    Type.Object({
      n: Count,
      p50: Nullable(Type.Number()),
      p99: Nullable(Type.Number()),
      max: Nullable(Type.Number()),
    }),
  ),
  drainMs: Nullable(Type.Number()),
  load: Nullable(LoadDocument),
  jobs: Nullable(Type.Object({ accepted: Count, finished: Count, failed: Count, identical: Type.Boolean() })),
  lost: Count,
  duplicated: Count,
  corrupted: Count,
  staleWritesRefused: Count,
  /** Orderly ends of a coordinator: the pause between the last batch of the old and the first of the new epoch. */
  handOverMs: Nullable(
    Type.Object({
      n: Count,
      p50: Nullable(Type.Number()),
      p99: Nullable(Type.Number()),
      max: Nullable(Type.Number()),
    }),
  ),
  /** Of cuts and orderly ends: exactly one side drains, how many epochs it cost, nothing redelivered. */
  rules: Type.Array(RuleVerdict),
  /** Of a random series. */
  seed: Nullable(Count),
  /** Where the timeline, the logs and the ledger of the series are. */
  folder: Nullable(Type.String()),
  invariants: Type.Array(InvariantVerdict),
});
export type ChaosDocument = Static<typeof ChaosDocument>;

/** `mesh bench --json` */
export const BenchDocument = Type.Object({
  arms: Type.Array(
    Type.Object({ name: Type.String(), durable: Type.Boolean() }, { additionalProperties: true }),
  ),
  targets: Type.Array(
    Type.Object({ name: Type.String(), value: Type.Number(), target: Type.Number(), ok: Type.Boolean() }),
  ),
});
export type BenchDocument = Static<typeof BenchDocument>;
