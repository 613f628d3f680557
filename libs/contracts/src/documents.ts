/** What `mesh … --json` prints: a public contract; fields are added, never renamed. */
import Type, { type Static } from 'typebox';
import { ImageJob } from './image-jobs.ts';

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

/** An analytics node as it has listed itself in ZooKeeper; `leads` is the epoch that it coordinates under. */
export const GroupMember = Type.Object({
  node: Type.Integer(),
  url: Nullable(Type.String({ description: 'its address' })),
  version: Nullable(Type.String({ description: 'of its program; null of one that does not say it' })),
  flavour: Nullable(Type.String({ description: 'its kind, and how it elects: analytics/bully' })),
  fit: Type.Boolean(),
  leads: Nullable(Type.Integer()),
});
export type GroupMember = Static<typeof GroupMember>;

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
  /** Only `mesh status` asks. */
  members: Type.Optional(
    Nullable(
      Type.Array(GroupMember, { description: 'analytics nodes as ZooKeeper lists them; null without it' }),
    ),
  ),
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

/** A rule of the series itself, beside the invariants; `id` names the rule. */
export const RuleVerdict = Type.Object({ id: Type.String(), ok: Type.Boolean(), detail: Type.String() });
export type RuleVerdict = Static<typeof RuleVerdict>;

/** So many durations, and their percentiles in milliseconds. */
const Durations = Type.Object({
  n: Count,
  p50: Nullable(Type.Number()),
  p99: Nullable(Type.Number()),
  max: Nullable(Type.Number()),
});

/** Image jobs that ran while a mesh was hurt, judged from outside. */
export const JobsDocument = Type.Object({
  accepted: Type.Integer({ minimum: 0, description: 'answered with 201' }),
  finished: Type.Integer({ minimum: 0, description: 'accepted, and the result is there' }),
  failed: Type.Integer({ minimum: 0, description: 'accepted, and failed, cancelled, gone or not over' }),
  identical: Type.Boolean({ description: 'every result is, byte by byte, what one process alone makes' }),
  /** From the 201 to the final event, before the first blow. */
  undisturbedMs: Type.Optional(Nullable(Durations)),
  /** The same from the first blow on, each less the median of its kind before. */
  addedMs: Type.Optional(Nullable(Durations)),
  /** From the first byte of the upload to the 201, from the first blow on. */
  acceptMs: Type.Optional(Nullable(Durations)),
  findings: Type.Optional(
    Type.Array(
      Type.Object({
        kind: Type.Enum(['not_accepted', 'failed', 'unfinished', 'no_result', 'differs']),
        job: Nullable(Type.String({ description: 'null of one that was never accepted' })),
        detail: Type.String(),
      }),
      { description: 'the first of them' },
    ),
  ),
});
export type JobsDocument = Static<typeof JobsDocument>;

/** `mesh chaos --json` */
export const ChaosDocument = Type.Object({
  ok: Type.Boolean(),
  target: Type.String(),
  rounds: Count,
  failoverMs: Nullable(Durations),
  drainMs: Nullable(Type.Number()),
  load: Nullable(LoadDocument),
  jobs: Nullable(JobsDocument),
  lost: Count,
  duplicated: Count,
  corrupted: Count,
  staleWritesRefused: Count,
  /** Orderly ends of a coordinator: the pause between the last batch of the old and the first of the new epoch. */
  handOverMs: Nullable(Durations),
  /** Of cuts and orderly ends: exactly one side drains, how many epochs it cost, nothing redelivered. */
  rules: Type.Array(RuleVerdict),
  /** Of a random series. */
  seed: Nullable(Count),
  /** Where the timeline, the logs and the ledger of the series are. */
  folder: Nullable(Type.String()),
  invariants: Type.Array(InvariantVerdict),
});
export type ChaosDocument = Static<typeof ChaosDocument>;

/** `mesh equalize --json`; `mesh equalize --jobs --json` prints `ImageJobs`. */
export const EqualizeDocument = Type.Object({
  job: ImageJob,
  /** Where the result was saved. */
  out: Type.String(),
  bytes: Count,
  /** Before, after and both histograms. */
  picture: Nullable(Type.String()),
  uploadMs: Type.Number(),
  /** From the 201 to the final event. */
  jobMs: Type.Number(),
  downloadMs: Type.Number(),
});
export type EqualizeDocument = Static<typeof EqualizeDocument>;

/** Something that a payment run found wrong with one order. */
export const PaymentFinding = Type.Object({
  kind: Type.Union([
    Type.Literal('lost'),
    Type.Literal('doubled'),
    Type.Literal('differs'),
    Type.Literal('in-doubt'),
  ]),
  /** The customer's key; empty for a charge that belongs to no order. */
  key: Type.String(),
  detail: Type.String(),
});
export type PaymentFinding = Static<typeof PaymentFinding>;

/** `mesh payments --json`: judged by the card processor's own ledger, billing's books and the table of checkouts. */
export const PaymentsDocument = Type.Object({
  ok: Type.Boolean(),
  requests: Type.Integer({ minimum: 0, description: 'asked for by customers, each sent until it had a 202' }),
  acknowledged: Type.Integer({ minimum: 0, description: 'requests that got their 202' }),
  attempts: Type.Integer({ minimum: 0, description: 'HTTP calls that this took' }),
  uuids: Type.Integer({ minimum: 0, description: 'customer keys: orders' }),
  accepted: Type.Integer({ minimum: 0, description: 'orders with a 202' }),
  charged: Type.Integer({ minimum: 0, description: 'orders that the processor has charged' }),
  declined: Count,
  failed: Type.Integer({ minimum: 0, description: 'orders that ended with a stated reason, uncharged' }),
  lost: Type.Integer({ minimum: 0, description: 'accepted, and gone or said to be charged and not charged' }),
  doubled: Type.Integer({ minimum: 0, description: 'charges beyond the first of an order' }),
  differing: Type.Integer({ minimum: 0, description: 'orders about which two records do not agree' }),
  inDoubt: Type.Integer({
    minimum: 0,
    description: 'without a final answer 5 s after the last fault, or after the last 202 if that came later',
  }),
  /** In minor units; of what was charged. All equal if every promise is kept. */
  sums: Type.Object({
    accepted: Type.Integer({ description: 'as the customers had ordered it' }),
    ledger: Type.Integer({ description: 'as the processor has charged it' }),
    books: Type.Integer({ description: 'as billing has posted it' }),
    checkouts: Type.Integer({ description: 'as the table of checkouts has it' }),
  }),
  /** From a request to its 202, its retries included. */
  latencyMs: Latency,
  /** From an order's first request to its final answer. */
  finalMs: Latency,
  ordersPerSecond: Type.Number(),
  /** From the last fault to the last final answer; null if something is still open. */
  settledMs: Nullable(Type.Number()),
  /** What was hurt, as often as it was. */
  blows: Type.Array(Type.Object({ target: Type.String(), signal: Type.String(), times: Count })),
  seed: Count,
  findings: Type.Array(PaymentFinding, { description: 'the first of them' }),
  /** Where the runner's own ledger, the timeline and the logs are. */
  folder: Nullable(Type.String()),
});
export type PaymentsDocument = Static<typeof PaymentsDocument>;

/** `mesh demo rpc-semantics --json`: one row for each kind of call, over the same lossy link. */
export const RpcSemanticsDocument = Type.Object({
  ok: Type.Boolean(),
  calls: Count,
  loss: Type.Number(),
  seed: Count,
  arms: Type.Array(
    Type.Object({
      name: Type.String(),
      calls: Count,
      answered: Type.Integer({ minimum: 0, description: 'calls whose caller got a final answer' }),
      charged: Type.Integer({ minimum: 0, description: "charges in the processor's own ledger" }),
      lost: Type.Integer({ minimum: 0, description: 'calls without a charge' }),
      doubled: Type.Integer({ minimum: 0, description: 'charges beyond the first of a call' }),
    }),
  ),
});
export type RpcSemanticsDocument = Static<typeof RpcSemanticsDocument>;

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

/** What ZooKeeper knows of a node. Its transaction ids and session ids have 64 bits: decimal, as text. */
export const ZkStat = Type.Object({
  czxid: Type.String({ description: 'the transaction that created it' }),
  mzxid: Type.String({ description: 'the transaction that last changed its data' }),
  pzxid: Type.String({ description: 'the transaction that last changed its children' }),
  createdAt: Type.String({ description: 'ISO 8601, by the clock of the server' }),
  modifiedAt: Type.String(),
  version: Count,
  childrenVersion: Type.Integer(),
  aclVersion: Count,
  ephemeralOwner: Nullable(
    Type.String({ description: 'the session that owns it; null of a persistent node' }),
  ),
  dataBytes: Count,
  children: Count,
});
export type ZkStat = Static<typeof ZkStat>;

/** Data of a node: `data` is text, hexadecimal digits, or whatever the JSON says. */
const zkData = {
  format: Type.Union([Type.Literal('text'), Type.Literal('json'), Type.Literal('hex')]),
  data: Type.Unknown(),
};

/** `mesh zk get --json` */
export const ZkNodeDocument = Type.Object({ path: Type.String(), ...zkData, stat: ZkStat });
export type ZkNodeDocument = Static<typeof ZkNodeDocument>;

/** `mesh zk stat --json`; `acl` is null for whom it is none of their business. */
export const ZkStatDocument = Type.Object({
  path: Type.String(),
  stat: ZkStat,
  acl: Nullable(
    Type.Array(
      Type.Object({ scheme: Type.String(), id: Type.String(), permissions: Type.Array(Type.String()) }),
    ),
  ),
});
export type ZkStatDocument = Static<typeof ZkStatDocument>;

/** `mesh zk tree --json`: parents before children. */
export const ZkTreeDocument = Type.Object({
  path: Type.String(),
  nodes: Type.Array(
    Type.Object({
      path: Type.String(),
      version: Nullable(Count),
      dataBytes: Nullable(Count),
      children: Nullable(Type.Integer({ minimum: 0, description: 'null: may not be looked into' })),
      ephemeralOwner: Nullable(Type.String()),
    }),
  ),
  complete: Type.Boolean({ description: 'false: the limit of depth or number left some out' }),
});
export type ZkTreeDocument = Static<typeof ZkTreeDocument>;

/** `mesh zk create|set|delete --json` */
export const ZkChangeDocument = Type.Object({
  action: Type.Union([Type.Literal('create'), Type.Literal('set'), Type.Literal('delete')]),
  path: Type.String({ description: 'as the server completed it' }),
  version: Nullable(Type.Integer({ minimum: 0, description: 'of its data now; null: it is gone' })),
  nodes: Type.Integer({ minimum: 0, description: 'how many were created, set or deleted' }),
});
export type ZkChangeDocument = Static<typeof ZkChangeDocument>;

/** One line of `mesh zk watch --json`: the state after an event; `absent` and `present` are the first one. */
export const ZkEventDocument = Type.Object({
  at: Type.String(),
  event: Type.Union([
    Type.Literal('absent'),
    Type.Literal('present'),
    Type.Literal('created'),
    Type.Literal('changed'),
    Type.Literal('deleted'),
    Type.Literal('children'),
  ]),
  path: Type.String(),
  version: Nullable(Count),
  format: Nullable(zkData.format),
  data: Type.Unknown({ description: 'null of a node that is not there' }),
  children: Nullable(Type.Array(Type.String())),
});
export type ZkEventDocument = Static<typeof ZkEventDocument>;

/** `mesh zk members --json`: who has listed itself, as ZooKeeper has it now; a dead process goes when its session ends. */
export const ZkMembersDocument = Type.Object({
  members: Type.Array(
    Type.Object({
      group: Type.String({ description: 'analytics, or the name of a service' }),
      id: Type.String(),
      address: Nullable(Type.String()),
      version: Nullable(Type.String()),
      flavour: Nullable(Type.String()),
      fit: Nullable(Type.Boolean({ description: 'null where nobody asks for it' })),
      leads: Nullable(Type.Integer({ description: 'the epoch that it coordinates under' })),
      session: Type.String({ description: 'whose end is the end of its listing' }),
      joinedAt: Type.String({ description: 'ISO 8601, by the clock of the server' }),
    }),
  ),
});
export type ZkMembersDocument = Static<typeof ZkMembersDocument>;

/** `mesh zk kafka --json`: what Kafka keeps in ZooKeeper. With `--watch` one such line for each change. */
export const ZkKafkaDocument = Type.Object({
  at: Type.String(),
  clusterId: Nullable(Type.String()),
  controller: Nullable(
    Type.Integer({ description: 'a broker; null between two of them, and without brokers' }),
  ),
  controllerEpoch: Nullable(Count),
  brokers: Type.Array(
    Type.Object({
      id: Type.Integer(),
      address: Nullable(Type.String()),
      session: Type.String({ description: 'whose end is the end of its registration' }),
      epoch: Type.String({ description: 'the transaction that registered it' }),
    }),
  ),
  topics: Type.Array(
    Type.Object({
      name: Type.String(),
      partitions: Type.Array(
        Type.Object({
          partition: Count,
          replicas: Type.Array(Type.Integer()),
          leader: Nullable(
            Type.Integer({ description: 'null: nobody leads it, or its state is not there yet' }),
          ),
          leaderEpoch: Nullable(Count),
          inSync: Type.Array(Type.Integer()),
          controllerEpoch: Nullable(Count),
          leaderAlive: Type.Boolean({ description: 'the leader is among the brokers' }),
          underReplicated: Type.Boolean(),
        }),
      ),
    }),
  ),
  changes: Type.Array(Type.String(), {
    description: 'since the document before, in words; empty in the first',
  }),
});
export type ZkKafkaDocument = Static<typeof ZkKafkaDocument>;

/** `mesh demo herd --json`: the same candidates and the same deaths under two elections. */
export const HerdDocument = Type.Object({
  ok: Type.Boolean(),
  nodes: Count,
  kills: Count,
  arms: Type.Array(
    Type.Object({
      name: Type.String(),
      leaders: Type.Integer({ minimum: 0, description: 'who led, one after another; the first one counts' }),
      epochsGrow: Type.Boolean(),
      wakeUps: Type.Integer({ minimum: 0, description: 'candidates woken while they waited' }),
      wakeUpsMax: Type.Integer({ minimum: 0, description: 'by one death' }),
      requests: Type.Integer({ minimum: 0, description: 'of the survivors, from each death to rest' }),
      requestsMax: Type.Integer({ minimum: 0, description: 'after one death' }),
      breaks: Type.Integer({
        minimum: 0,
        description: 'connections that broke by themselves; wake whom they hit',
      }),
    }),
  ),
});
export type HerdDocument = Static<typeof HerdDocument>;

/** `mesh demo philosophers --json`: five processes, five fenced locks, three ways to take them. */
export const PhilosophersDocument = Type.Object({
  ok: Type.Boolean(),
  seconds: Type.Number(),
  arms: Type.Array(
    Type.Object({
      name: Type.Union([Type.Literal('naive'), Type.Literal('ordered'), Type.Literal('semaphore')]),
      deadlock: Nullable(
        Type.Object({
          cycle: Type.Array(Count, { description: 'philosophers, each waiting for a fork of the next' }),
          ended: Nullable(Type.Integer({ minimum: 0, description: 'the one whose process was killed' })),
          mealsAfter: Type.Integer({ minimum: 0, description: 'of the others, from then on' }),
        }),
      ),
      meals: Type.Array(Count, { description: 'of each philosopher' }),
      longestWaitMs: Type.Array(Nullable(Type.Number()), { description: 'from hungry to eating' }),
      starved: Type.Integer({ minimum: 0, description: 'philosophers without a meal' }),
      record: Type.Object({
        acts: Type.Integer({
          minimum: 0,
          description: 'forks taken and put back, as the philosophers wrote it down',
        }),
        violations: Type.Integer({
          minimum: 0,
          description: 'acts of an epoch after acts of a later one on the same fork',
        }),
        findings: Type.Array(Type.String(), { description: 'the first of them' }),
      }),
    }),
  ),
});
export type PhilosophersDocument = Static<typeof PhilosophersDocument>;
