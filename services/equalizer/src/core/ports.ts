/**
 * What the roles and the HTTP surface need from outside: blobs, jobs, fenced writes, progress,
 * records. Adapters
 * implement these ports; the blob store is held to `core/conformance/blob-store.ts`.
 */
import type { Readable } from 'node:stream';
import type { PartitionProgress, ResultRecord, TaskRecord } from '@thermomesh/contracts';
import type { IncomingRecord, PartitionReader } from '@thermomesh/kafka';
import type { JobRecords } from '@thermomesh/mapreduce';
import type { Lease, Operation } from '@thermomesh/zookeeper';
import type { JobDocument, JobProgress, JobView, Submission } from './jobs.ts';

/**
 * Files with names outside ZooKeeper and Kafka that every node can read: images, decoded pixels and
 * larger tables. Keys are `/`-separated names (`checkBlobKey`); those of a job begin with
 * `blobsOf(id).prefix`. The upload of a job is `submission.input`: each attempt has a key of its
 * own, so that two uploads under one id never touch each other.
 *
 * A blob appears whole under its key or not at all, and replaces an earlier one atomically; a
 * reader that has the earlier one open continues to read it.
 *
 * Error codes: `blob.bad_key`, `blob.not_found`, `blob.too_large`; `blob.no_space`, `blob.io` (both
 * retriable). Errors of `make` and of a source stream pass unchanged.
 */
export interface BlobStore {
  /**
   * Stores the content of a stream. If the stream fails or exceeds `bytesMax`, nothing of it
   * remains.
   */
  createFromStream(key: string, source: Readable, options: CreateOptions): Promise<CreatedBlob>;
  /** Stores bytes that are in memory. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  /**
   * Stores the file that `make` writes to the path that it receives. The path is in an empty folder
   * that is removed afterwards.
   * @returns what `make` returned
   */
  write<T>(key: string, make: (path: string) => Promise<T>, options?: WriteOptions): Promise<T>;
  /**
   * Reads a whole blob into memory; for tables and histograms.
   * @throws MeshError also `blob.too_large`, above `readBytesMax`
   */
  read(key: string): Promise<Buffer>;
  /**
   * Opens a blob for reading, and returns its length. If the blob is replaced or removed meanwhile,
   * the stream still delivers the opened one.
   */
  stream(key: string): Promise<{ bytes: number; stream: Readable }>;
  /**
   * A local path for image code, which works on files: to read them or, for spools, to write
   * rectangles in place. The blob need not exist (then opening the path fails with `ENOENT`). A
   * shared folder returns the path of the file itself; another store would keep a local copy and
   * write changed rectangles back.
   */
  localPath(key: string): string;
  exists(key: string): Promise<boolean>;
  /** Removes one blob, if it exists. */
  remove(key: string): Promise<void>;
  /** Removes all blobs below a prefix, which ends with `/`. */
  removeAll(prefix: string): Promise<void>;
  /** The jobs that have blobs, also incomplete ones. */
  listJobs(): Promise<JobBlobs[]>;
}

export interface CreateOptions {
  /** Maximum size; a larger stream fails with `blob.too_large`. */
  bytesMax: number;
  signal?: AbortSignal;
}

export interface CreatedBlob {
  bytes: number;
  /** In hexadecimal digits. */
  sha256: string;
}

export interface WriteOptions {
  /**
   * False for blobs that can be made again after a power loss, such as decoded pixels; they are not
   * synced. Default: true.
   */
  durable?: boolean;
}

/** The blobs of one job. */
export interface JobBlobs {
  id: string;
  /** Time since the last write to any of its blobs. */
  ageMs: number;
}

/** The jobs as the HTTP surface of every node uses them. */
export interface Jobs {
  /**
   * Makes the job durable: once this resolves, the job will end, whichever process dies. A known id
   * changes nothing.
   * @throws MeshError `jobs.unavailable` (retriable): the job may have been accepted nevertheless;
   *   `read` shows it
   */
  accept(submission: Submission): Promise<void>;
  /**
   * Counts the jobs that are not over, in total and of `caller`. While both counts are below
   * `exactFrom`, they are upper bounds: jobs that ended since they were last read may be included,
   * and no job is read again.
   */
  countOpen(caller: string, exactFrom: OpenJobs): Promise<OpenJobs>;
  /** The job; undefined if it does not exist or is forgotten. */
  read(id: string): Promise<JobView | undefined>;
  /** All jobs of `caller` that are kept, newest first. */
  list(caller: string): Promise<JobView[]>;
  /**
   * Requests the cancellation of a job. The coordinator ends it later; a job that is over stays as
   * it is.
   */
  cancel(id: string): Promise<void>;
  /**
   * Yields the present view, then later ones (a slow reader gets only the latest). Ends after a
   * final phase, or when the job is forgotten.
   */
  follow(id: string, signal: AbortSignal): AsyncIterable<JobView>;
}

/** Numbers of jobs that are not over. */
export interface OpenJobs {
  readonly all: number;
  readonly ofCaller: number;
}

/** Reads and writes under a lease. */
export interface FencedWrites {
  readonly lease: Lease;
  /** Resolves when the holder may act; waits while the lease is suspended. @throws DeposedError */
  mayAct(): Promise<void>;
  /**
   * Writes all operations or none, and only while the seat exists. Repeats until there is an
   * answer.
   * @returns false if a node that an operation needs is missing while the seat exists
   * @throws DeposedError
   */
  write(operations: readonly Operation[]): Promise<boolean>;
  /** Sets the content of a node, and creates it if necessary. @throws DeposedError */
  put(path: string, data: Buffer): Promise<void>;
  /** Removes a node, if it exists. @throws DeposedError */
  remove(path: string): Promise<void>;
  /** Reads until there is an answer. @throws DeposedError */
  read<T>(call: () => Promise<T>): Promise<T>;
}

/** A job as it is stored in ZooKeeper. */
export interface StoredJob {
  readonly id: string;
  /** The transaction that accepted the job; grows from job to job. */
  readonly number: number;
  /** Unix ms, by the clock of the ZooKeeper server that wrote it. */
  readonly writtenAtMs: number;
  readonly document: JobDocument;
}

/**
 * The jobs as the coordinator uses them. Every write waits for an answer, and throws `DeposedError`
 * if the fence refuses it.
 */
export interface JobStore {
  /**
   * Reads all jobs, in the order of their acceptance. Sees every write that preceded the call.
   */
  readAll(): Promise<StoredJob[]>;
  /** The job; undefined if it does not exist or cannot be read. */
  read(id: string): Promise<StoredJob | undefined>;
  /** Writes the document of a job. */
  store(document: JobDocument): Promise<void>;
  /** Removes the job with its progress and its cancellation. */
  remove(id: string): Promise<void>;
  /** Writes progress for watchers; ignored if the job is forgotten. */
  saveProgress(id: string, progress: JobProgress): Promise<void>;
  /** Removes the request to cancel a job. */
  endCancellation(id: string): Promise<void>;
  /** The content that {@link saveReadOffsets} has written; null if there is none. */
  loadReadOffsets(): Promise<Uint8Array | null>;
  /** Saves the offsets from which a successor reads the topics. */
  saveReadOffsets(offsets: unknown): Promise<void>;
  /** Calls `listener` with the ids of all jobs, now and after each change. */
  watchJobs(listener: (ids: readonly string[]) => void): Promise<Following>;
  /** Calls `listener` with the ids of jobs to cancel, now and after each change. */
  watchCancellations(listener: (ids: readonly string[]) => void): Promise<Following>;
}

/** A watch that runs until it is closed. */
export interface Following {
  close(): Promise<void>;
}

/**
 * The progress of a partition as its leader uses it. Both calls wait for an answer, and throw
 * `DeposedError` if the fence refuses them.
 */
export interface ProgressStore {
  /** Null if no node has led the partition yet. */
  read(partition: number): Promise<PartitionProgress | null>;
  save(partition: number, progress: PartitionProgress): Promise<void>;
}

/**
 * The two topics as coordinator and leaders use them. Calls are repeated until they succeed; when
 * `signal` aborts, they throw its reason.
 */
export interface Records {
  /** Resolves when both topics exist. */
  ensure(signal: AbortSignal): Promise<void>;
  /** Sends a task. @returns its offset in the partition */
  sendTask(partition: number, task: TaskRecord, signal: AbortSignal): Promise<number>;
  sendResult(result: ResultRecord, signal: AbortSignal): Promise<void>;
  /** The end offset of each partition of the task topic, at some moment after the call. */
  taskEnds(signal: AbortSignal): Promise<ReadonlyMap<number, number>>;
  /** Reads the wanted records of both topics up to their present ends. */
  readBack(wanted: WantedRecords, deadlineMs: number, signal: AbortSignal): Promise<ReadBack>;
  /** A reader of the result topic; the caller starts it. */
  resultReader(handle: (record: IncomingRecord) => Promise<void>): PartitionReader;
  /** A reader of the task topic; the caller starts it. */
  taskReader(handle: (record: IncomingRecord) => Promise<void>): PartitionReader;
  /**
   * Why Kafka cannot be used now: the topics are missing, a reader does not read, or records are
   * not accepted. Undefined if it can be used.
   */
  unhealthyReason(): string | undefined;
}

/**
 * The records that {@link Records.readBack} keeps. The topics hold a day of records; memory holds
 * only those of running jobs.
 */
export interface WantedRecords {
  /** The offset of each partition from which to read. */
  from: { tasks: ReadonlyMap<number, number>; results: ReadonlyMap<number, number> };
  task(task: TaskRecord): boolean;
  result(result: ResultRecord): boolean;
}

/** The kept records, and the next offset of each partition. */
export interface ReadBack {
  records: JobRecords;
  taskEnds: ReadonlyMap<number, number>;
  resultEnds: ReadonlyMap<number, number>;
}
