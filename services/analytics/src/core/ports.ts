/** What a node needs of the outside world. `adapters/` and `limits/` implement it. */
import type {
  AccountsDocument,
  DeletedRejections,
  DeviceIncarnationDocument,
  DevicesReport,
  DrainGap,
  DrainLimitsView,
  DrainLogState,
  ErasedDevice,
  ErasedRow,
} from '@thermomesh/contracts';
import type { Applied, Batch, Entry } from './batch.ts';
import type { BestEffortApplied, BestEffortEntry } from './best-effort.ts';
import type { DrainPosition } from './continuity.ts';
import type { RejectedMessage } from './replay.ts';
import type { BucketRow, DeviceRow, ReadingRow, RejectedRow, RejectionCount } from './telemetry.ts';

/**
 * How much of the rejected messages is kept for a person to look at. Their counts are kept in full.
 */
export interface RejectionLimits {
  /** Longer messages are cut to this size; their full size and SHA-256 are kept. */
  rawBytesMax: number;
  /** Maximum number of rows of one device and reason; the oldest are removed. */
  rowsPerKindMax: number;
  /** Maximum number of bytes that these rows keep. */
  bytesPerKindMax: number;
}

/** The answer to {@link DrainStore.takeOver}. */
export type TakeOver = { won: true; epoch: number } | { won: false; epoch: number; holder: number };

/** How long the records of batches are kept. */
export interface BatchRetention {
  keptHours: number;
  /** Maximum number of records that one statement removes; the drain waits for that statement. */
  rowsMax: number;
}

/** One database session of a node that is coordinator or wants to be. */
export interface DrainStore {
  /** Resolves when the session is gone. */
  readonly closed: Promise<void>;
  /**
   * Claims the next epoch for this node.
   * @param above the highest epoch that is known to have existed; a database that was restored may
   *   not know it, and an epoch is never used twice (I2). Default 0.
   * @throws SqlUnavailableError
   */
  takeOver(nodeId: number, leaseMs: number, above?: number): Promise<TakeOver>;
  /** Continues `epoch` on this session. @throws StaleEpochError */
  attach(epoch: number): Promise<void>;
  /** Renews the lease of an idle coordinator. @throws StaleEpochError */
  renew(epoch: number): Promise<void>;
  /** Releases the lease, so that a successor need not wait for it to expire. */
  release(epoch: number): Promise<void>;
  /**
   * Removes some of the batch records that are older than the retention. The first and the last
   * record of each epoch stay, because they are the evidence for I2.
   * @returns how many records were removed
   * @throws StaleEpochError
   */
  prune(epoch: number, retention: BatchRetention): Promise<number>;
  /**
   * Stores a batch in one transaction that contains the fence.
   * @param acceptGap stores the batch although messages before it are missing; for messages that
   *   the gateway no longer has
   * @throws StaleEpochError, SeqConflictError, DrainGapError, DataRefusedError, SqlUnavailableError
   */
  apply(epoch: number, nodeId: number, batch: Batch, acceptGap?: boolean): Promise<Applied>;
  /**
   * Stores readings at QoS 0 in one transaction that contains the fence. All are stored or none.
   * @throws StaleEpochError, DataRefusedError, SqlUnavailableError
   */
  applyBestEffort(
    epoch: number,
    nodeId: number,
    entries: readonly BestEffortEntry[],
  ): Promise<BestEffortApplied>;
  /** Adds a report of the gateway about its devices. @throws StaleEpochError */
  noteDevices(epoch: number, report: DevicesReport): Promise<void>;
  /** Where the drain of this log stands. */
  position(log: string): Promise<DrainPosition>;
  /**
   * Records that the messages of a gap are lost, so that the drain may continue behind them.
   * Idempotent.
   * @param keptIn the other database that has them, if they are not lost
   * @throws StaleEpochError, MeshError `drain.no_such_gap`
   */
  acceptGap(epoch: number, nodeId: number, gap: DrainGap, keptIn?: string): Promise<void>;
  /**
   * Stores a rejected message that is a valid reading now, as a batch of one, and removes it from
   * the rejected ones in the same transaction.
   * @returns `gone` if the message is no longer among the rejected ones
   * @throws StaleEpochError, SeqConflictError, DataRefusedError, SqlUnavailableError
   */
  replay(epoch: number, nodeId: number, id: number, entry: Entry): Promise<'stored' | 'duplicate' | 'gone'>;
  /** Closes the session at once. */
  close(): void;
}

/** A batch is complete when it reaches one of these limits. */
export interface BatchLimits {
  rowsMax: number;
  bytesMax: number;
  /** How long a batch waits for more messages. */
  lingerMs: number;
}

/** A batch and the packet ids that acknowledge it, in receive order. */
export interface ReceivedBatch {
  batch: Batch;
  packetIds: number[];
}

/** Receives what the gateway sends beside the log: it is outside I1 and I6. */
export interface BestEffortListener {
  /** A reading came at QoS 0. */
  reading(entry: BestEffortEntry): void;
  report(report: DevicesReport): void;
}

/** The coordinator's end of the drain session at the gateway. */
export interface DrainSource {
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  /** Where the gateway's log stood at the start; undefined if its version does not tell. */
  readonly logState: DrainLogState | undefined;
  /**
   * Asks the gateway to send the messages after `afterLogId` again; the next connection begins with
   * them.
   * @throws MeshError `mqtt.*`, retriable
   */
  resend(afterLogId: number): Promise<void>;
  /**
   * Lets the gateway remember, durably, the database that its log is drained into.
   * @throws MeshError `mqtt.*`, retriable
   */
  bindDatabase(database: string): Promise<void>;
  /**
   * Resolves with the next messages, at least one, or with undefined when the connection or the
   * intake has ended.
   */
  next(limits: BatchLimits): Promise<ReceivedBatch | undefined>;
  /** Asks the gateway for what it sends beside the log, once. */
  onBestEffort(listener: BestEffortListener): void;
  /** True while a whole batch of accepted messages waits. */
  isBehind(): boolean;
  /** Acknowledges a batch. Called after its COMMIT, in the order in which `next` returned them. */
  ack(packetIds: readonly number[]): void;
  /**
   * Takes no more messages from the gateway. Messages that `next` has not returned stay
   * unacknowledged.
   */
  stopIntake(): void;
  /**
   * Sends DISCONNECT behind all acknowledgements and resolves when the gateway has read them, so
   * that the successor does not receive committed messages again. The session and its queue stay at
   * the gateway.
   */
  end(signal: AbortSignal): Promise<void>;
  /** Closes the connection at once. */
  destroy(): void;
}

/** The limits that the drain asks for before each batch. */
export interface DrainLimitsSource {
  view(): DrainLimitsView;
  /** Starts following; does not wait until ZooKeeper can be reached. */
  start(): void;
  /**
   * Stops following. Call it after the client was closed, because it waits for reads under way, and
   * a frozen server would not answer them. Idempotent.
   */
  stop(): Promise<void>;
}

/** How a meeting ended. */
export type Meeting =
  | { met: true; afterMs: number; urls: Record<string, string> }
  | { met: false; reason: string; missing: number[]; there: number[] };

/** The meeting place as one node uses it. */
export interface MeetingPlace {
  /** Lists this node; does not wait until ZooKeeper can be reached. */
  start(): void;
  /**
   * Resolves when all nodes are there or the time is up; with undefined if the node does not wait,
   * or if the place was closed meanwhile.
   */
  meet(): Promise<Meeting | undefined>;
  /** Call it after the client was closed. Idempotent. */
  stop(): Promise<void>;
}

/** Which rows of a list come first. */
export type Order = 'oldest' | 'newest';

/** Which readings a page contains. */
export interface ReadingsQuery {
  deviceId: string;
  /** Unix ms, inclusive. */
  fromMs: number;
  /** Unix ms, exclusive. */
  toMs: number;
  limit: number;
  order: Order;
  /** The last row of the previous page. */
  after: { measuredAtMs: number; incarnation: number; seq: number } | undefined;
}

/** The answer to {@link DeviceIncarnations.open}. */
export type Opening =
  | { outcome: 'opened' | 'known'; incarnation: number; openedAtMs: number }
  /** The key belongs to another incarnation of the device. */
  | { outcome: 'key_reused'; incarnation: number }
  /** `incarnation` is the highest known one. */
  | { outcome: 'too_low' | 'exhausted'; incarnation: number };

/** The incarnations that operators open for devices. */
export interface DeviceIncarnations {
  /**
   * Opens an incarnation: the given one, or the next. The same key or the same incarnation gives
   * the same answer. What is drained from then on belongs to it, if it names no incarnation.
   */
  open(deviceId: string, incarnation: number | undefined, key: string | undefined): Promise<Opening>;
  /** Opened incarnations of a device, in ascending order, above `after`. */
  list(deviceId: string, limit: number, after: number): Promise<DeviceIncarnationDocument[]>;
}

/** Which rejected messages are meant; what is undefined is no condition. */
export interface RejectedFilter {
  id?: number | undefined;
  deviceId?: string | undefined;
  reason?: string | undefined;
  /** Received at this time or later, in Unix ms. */
  sinceMs?: number | undefined;
  /** Received before this time, in Unix ms. */
  untilMs?: number | undefined;
}

/** What operators do with stored data by hand. Each removal is counted (I1, I6; ADR 0026). */
export interface DataUpkeep {
  /** A rejected message with its bytes; undefined if it is not kept. */
  rejectedMessage(id: number): Promise<RejectedMessage | undefined>;
  /** Deletes the oldest rejected messages of the filter, up to the limit of one call. */
  deleteRejected(filter: RejectedFilter): Promise<DeletedRejections>;
  /**
   * Erases readings, rejections, incarnations and the latest state of a device, in steps between
   * the batches. Ends early when a time limit is over; what is left is for the next call.
   */
  eraseDevice(deviceId: string): Promise<ErasedDevice>;
  /** What was removed of a device. */
  erasedOf(deviceId: string): Promise<ErasedRow[]>;
}

/** Reads of the HTTP routes. */
export interface TelemetryQueries {
  accounts(): Promise<AccountsDocument>;
  /** The coordinator that the database knows; null if there has been none. */
  coordinator(): Promise<{ node: number; epoch: number } | null>;
  /** Devices by ascending id, after the id `after`. */
  devices(limit: number, after: string): Promise<DeviceRow[]>;
  device(deviceId: string): Promise<DeviceRow | undefined>;
  readings(query: ReadingsQuery): Promise<ReadingRow[]>;
  /** Averages over buckets of `bucketSeconds` in the whole interval. */
  buckets(query: Omit<ReadingsQuery, 'after'>, bucketSeconds: number): Promise<BucketRow[]>;
  /** Rejected readings; `after` is the last id of the previous page. */
  rejected(
    page: { limit: number; order: Order; after: number | undefined },
    filter: RejectedFilter,
  ): Promise<RejectedRow[]>;
  /** Counts of rejections by device and reason, after the kind `after`; of one device if given. */
  rejectionCounts(
    limit: number,
    after: { deviceId: string; reason: string },
    deviceId: string | undefined,
  ): Promise<RejectionCount[]>;
}
