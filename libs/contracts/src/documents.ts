/**
 * The documents that `mesh … --json` prints. They are a public contract: fields are added, never
 * renamed.
 */
import Type, { type Static } from 'typebox';
import { Qos0Account } from './device-notices.ts';
import { DrainView } from './drain-log.ts';
import { ImageJob } from './image-jobs.ts';
import { Count, Nullable } from './schema-parts.ts';

/** Percentiles in milliseconds; null where nothing was measured. */
export const Latency = Type.Object({
  p50: Nullable(Type.Number()),
  p99: Nullable(Type.Number()),
  max: Nullable(Type.Number()),
});
export type Latency = Static<typeof Latency>;

const Coordinator = Type.Object({ node: Type.Integer(), epoch: Type.Integer() });

/**
 * The terms of I6 as seen now. `inFlight` is the largest difference that batches under way may
 * explain.
 */
export const Accounts = Type.Object({
  accepted: Nullable(Count),
  stored: Nullable(Count),
  duplicate: Nullable(Count),
  rejected: Nullable(Count),
  buffered: Nullable(Count),
  /**
   * Messages that a restored database lost and whose loss an operator has accepted; absent if there
   * are none.
   */
  acceptedGap: Type.Optional(Count),
  inFlight: Nullable(Count),
  balanced: Nullable(Type.Boolean()),
  /** Readings at QoS 0. They are outside I6: no term above counts them. */
  qos0: Type.Optional(
    Type.Object({
      mode: Nullable(
        Type.Enum(['relay', 'store'], { description: 'QOS0 of the gateway; null if it does not answer.' }),
      ),
      waiting: Nullable(Count),
      account: Nullable(Qos0Account),
    }),
  ),
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

/**
 * An analytics node as it has listed itself in ZooKeeper. `leads` is the epoch under which it
 * coordinates.
 */
export const GroupMember = Type.Object({
  node: Type.Integer(),
  url: Nullable(Type.String({ description: 'Address of the node.' })),
  version: Nullable(Type.String({ description: 'Version of its program; null if it does not publish one.' })),
  flavour: Nullable(Type.String({ description: 'Its kind and its election, such as analytics/bully.' })),
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
  /** The drain of the coordinator; null if no coordinator answers. */
  drain: Type.Optional(Nullable(DrainView)),
  /** Present only in the document of `mesh status`. */
  members: Type.Optional(
    Nullable(
      Type.Array(GroupMember, {
        description: 'Analytics nodes as ZooKeeper lists them; null without ZooKeeper.',
      }),
    ),
  ),
});
export type StatusDocument = Static<typeof StatusDocument>;

/** One invariant's verdict. */
export const InvariantVerdict = Type.Object({
  id: Type.String({ pattern: '^I[1-9]$' }),
  ok: Nullable(Type.Boolean({ description: 'Null if it was not judged; the detail gives the reason.' })),
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
  duplicated: Type.Integer({ minimum: 0, description: 'Readings in both tables, or rejected twice.' }),
  corrupted: Type.Integer({ minimum: 0, description: 'Readings stored with other values than sent.' }),
  ackMs: Latency,
  endToEndMs: Latency,
  ratePerSecond: Type.Number(),
});
export type LoadDocument = Static<typeof LoadDocument>;

/** `mesh verify --json` */
export const VerifyDocument = Type.Object({
  ok: Nullable(
    Type.Boolean({
      description: 'False if a promise is broken; null if none is, but one was not judged.',
    }),
  ),
  invariants: Type.Array(InvariantVerdict),
});
export type VerifyDocument = Static<typeof VerifyDocument>;

/** The verdict on a rule of the series itself, beside the invariants. `id` names the rule. */
export const RuleVerdict = Type.Object({ id: Type.String(), ok: Type.Boolean(), detail: Type.String() });
export type RuleVerdict = Static<typeof RuleVerdict>;

/** Number of durations, and their percentiles in milliseconds. */
const Durations = Type.Object({
  n: Count,
  p50: Nullable(Type.Number()),
  p99: Nullable(Type.Number()),
  max: Nullable(Type.Number()),
});

/** Image jobs that ran during injected faults, judged from outside. */
export const JobsDocument = Type.Object({
  accepted: Type.Integer({ minimum: 0, description: 'Jobs answered with 201.' }),
  finished: Type.Integer({ minimum: 0, description: 'Accepted jobs whose result exists.' }),
  failed: Type.Integer({
    minimum: 0,
    description: 'Accepted jobs that failed, were cancelled, are gone or are not over.',
  }),
  identical: Type.Boolean({
    description: 'Whether every result equals, byte by byte, that of a single process.',
  }),
  /** Time from the 201 to the final event, before the first fault. */
  undisturbedMs: Type.Optional(Nullable(Durations)),
  /** The same from the first fault on, each less the median of its kind before. */
  addedMs: Type.Optional(Nullable(Durations)),
  /** Time from the first byte of the upload to the 201, from the first fault on. */
  acceptMs: Type.Optional(Nullable(Durations)),
  findings: Type.Optional(
    Type.Array(
      Type.Object({
        kind: Type.Enum(['not_accepted', 'failed', 'unfinished', 'no_result', 'differs']),
        job: Nullable(Type.String({ description: 'Id of the job; null if it was never accepted.' })),
        detail: Type.String(),
      }),
      { description: 'The first findings.' },
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
  /** Null if there was no load and no fleet, so there was nothing to drain. */
  drainMs: Nullable(Type.Number()),
  load: Nullable(LoadDocument),
  jobs: Nullable(JobsDocument),
  /** Null if no ledger tells what was sent meanwhile: there was neither a load nor a fleet. */
  lost: Nullable(Count),
  duplicated: Nullable(Count),
  corrupted: Nullable(Count),
  staleWritesRefused: Count,
  /**
   * After a graceful stop of a coordinator: time between the last batch of the old epoch and the
   * first batch of the new one.
   */
  handOverMs: Nullable(Durations),
  /**
   * Rules of cuts and graceful stops: exactly one side drains, the number of epochs that a cut
   * costs, nothing is redelivered.
   */
  rules: Type.Array(RuleVerdict),
  /** Seed of a random series. */
  seed: Nullable(Count),
  /** Folder with the timeline, the logs and the ledger of the series. */
  folder: Nullable(Type.String()),
  invariants: Type.Array(InvariantVerdict),
});
export type ChaosDocument = Static<typeof ChaosDocument>;

/** `mesh equalize --json`; `mesh equalize --jobs --json` prints `ImageJobs`. */
export const EqualizeDocument = Type.Object({
  job: ImageJob,
  /** Path of the saved result. */
  out: Type.String(),
  bytes: Count,
  /** Path of the picture with the image before and after, and both histograms. */
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

/**
 * The document of `mesh payments --json`. The judges are the card processor's own ledger, billing's
 * ledger and the table of checkouts.
 */
export const PaymentsDocument = Type.Object({
  ok: Type.Boolean(),
  requests: Type.Integer({ minimum: 0, description: 'Requests of customers, each sent until it had a 202.' }),
  acknowledged: Type.Integer({ minimum: 0, description: 'Requests that got their 202.' }),
  attempts: Type.Integer({ minimum: 0, description: 'HTTP calls that these requests took.' }),
  uuids: Type.Integer({ minimum: 0, description: 'Customer keys, one for each order.' }),
  accepted: Type.Integer({ minimum: 0, description: 'Orders with a 202.' }),
  charged: Type.Integer({ minimum: 0, description: 'Orders that the processor has charged.' }),
  declined: Count,
  failed: Type.Integer({ minimum: 0, description: 'Orders that ended uncharged, with a stated reason.' }),
  lost: Type.Integer({
    minimum: 0,
    description: 'Accepted orders that are gone, or reported as charged but not charged.',
  }),
  doubled: Type.Integer({ minimum: 0, description: 'Charges beyond the first of an order.' }),
  differing: Type.Integer({ minimum: 0, description: 'Orders about which two records disagree.' }),
  inDoubt: Type.Integer({
    minimum: 0,
    description:
      'Orders without a final answer 5 s after the last fault, or after the last 202 if that came later.',
  }),
  /** Sums of the charged amounts, in minor units. All are equal if every promise is kept. */
  sums: Type.Object({
    accepted: Type.Integer({ description: 'Sum according to the customers.' }),
    ledger: Type.Integer({ description: 'Sum according to the processor.' }),
    books: Type.Integer({ description: 'Sum according to the postings of billing.' }),
    checkouts: Type.Integer({ description: 'Sum according to the table of checkouts.' }),
  }),
  /** Time from a request to its 202, retries included. */
  latencyMs: Latency,
  /** Time from an order's first request to its final answer. */
  finalMs: Latency,
  ordersPerSecond: Type.Number(),
  /** Time from the last fault to the last final answer; null if an order is still open. */
  settledMs: Nullable(Type.Number()),
  /** Injected faults by target and signal. */
  blows: Type.Array(Type.Object({ target: Type.String(), signal: Type.String(), times: Count })),
  seed: Count,
  findings: Type.Array(PaymentFinding, { description: 'The first findings.' }),
  /** Folder with the runner's own ledger, the timeline and the logs. */
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
      answered: Type.Integer({ minimum: 0, description: 'Calls whose caller got a final answer.' }),
      charged: Type.Integer({ minimum: 0, description: "Charges in the processor's own ledger." }),
      lost: Type.Integer({ minimum: 0, description: 'Calls without a charge.' }),
      doubled: Type.Integer({ minimum: 0, description: 'Charges beyond the first of a call.' }),
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

/** `mesh demo herd --json`: the same candidates and the same deaths under two elections. */
export const HerdDocument = Type.Object({
  ok: Type.Boolean(),
  nodes: Count,
  kills: Count,
  arms: Type.Array(
    Type.Object({
      name: Type.String(),
      leaders: Type.Integer({
        minimum: 0,
        description: 'Number of leaders, one after another, the first one included.',
      }),
      epochsGrow: Type.Boolean(),
      wakeUps: Type.Integer({ minimum: 0, description: 'Candidates woken while they waited.' }),
      wakeUpsMax: Type.Integer({
        minimum: 0,
        description: 'Largest number of candidates woken by one death.',
      }),
      requests: Type.Integer({
        minimum: 0,
        description: 'Requests of the survivors, from each death until they rest.',
      }),
      requestsMax: Type.Integer({ minimum: 0, description: 'Largest number of requests after one death.' }),
      breaks: Type.Integer({
        minimum: 0,
        description: 'Connections that broke by themselves; each wakes the candidate that it hits.',
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
          cycle: Type.Array(Count, {
            description: 'Philosophers that wait in a circle, each for a fork of the next.',
          }),
          ended: Nullable(
            Type.Integer({ minimum: 0, description: 'The philosopher whose process was killed.' }),
          ),
          mealsAfter: Type.Integer({ minimum: 0, description: 'Meals of the others from then on.' }),
        }),
      ),
      meals: Type.Array(Count, { description: 'Meals of each philosopher.' }),
      longestWaitMs: Type.Array(Nullable(Type.Number()), {
        description: 'Longest wait of each philosopher, from hungry to eating.',
      }),
      starved: Type.Integer({ minimum: 0, description: 'Philosophers without a meal.' }),
      record: Type.Object({
        acts: Type.Integer({
          minimum: 0,
          description: 'Forks taken and put back, as the philosophers recorded them.',
        }),
        violations: Type.Integer({
          minimum: 0,
          description: 'Acts of an epoch that came after acts of a later epoch on the same fork.',
        }),
        findings: Type.Array(Type.String(), { description: 'The first findings.' }),
      }),
    }),
  ),
});
export type PhilosophersDocument = Static<typeof PhilosophersDocument>;

/**
 * `mesh device reset --json`, and the answer of `POST /v1/devices/:id/incarnations`: an incarnation
 * that an operator has opened.
 */
export const DeviceIncarnationDocument = Type.Object({
  deviceId: Type.String(),
  incarnation: Type.Integer({ minimum: 1 }),
  openedAtMs: Type.Integer(),
});
export type DeviceIncarnationDocument = Static<typeof DeviceIncarnationDocument>;
