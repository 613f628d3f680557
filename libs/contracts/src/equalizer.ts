/**
 * `equalizer.task.v1` and `equalizer.result.v1`: the records between the equalizer's coordinator
 * and the leaders of partitions. They carry ids, rectangles, small tables and references; pixels
 * and larger tables are in the blob store.
 */
import Type, { type Static } from 'typebox';
import { documentIssues } from './check.ts';
import { RecordTooLargeError } from './errors.ts';

/** Largest key and value of one record together, in bytes (design: "≤ 256 KiB"). */
export const recordBytesMax = 256 * 1024;

/**
 * Longest reason that a record or the metadata of a job carries, in characters. {@link
 * boundedReason} cuts longer ones.
 */
export const reasonLengthMax = 1_000;

const Id = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$' });
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Positive = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const BlobKey = Type.String({ minLength: 1, maxLength: 512 });
const Reason = Type.String({ maxLength: reasonLengthMax });

/** A part of an image, in pixels; `left` and `top` count from 0. */
export const Rectangle = Type.Object({ left: Count, top: Count, width: Positive, height: Positive });
export type Rectangle = Static<typeof Rectangle>;

/** The decoded image that every chunk is read from: rows of raw pixels in the blob store. */
export const SpooledImage = Type.Object({
  key: BlobKey,
  widthPixels: Positive,
  heightPixels: Positive,
  channels: Type.Integer({ minimum: 1, maximum: 16 }),
  bitDepth: Type.Integer({ minimum: 1, maximum: 16 }),
});
export type SpooledImage = Static<typeof SpooledImage>;

/**
 * The caller's parameters (mode, definition, …). They are small, and the coordinator does not
 * interpret them.
 */
export const JobParameters = Type.Record(
  Type.String({ maxLength: 64 }),
  Type.Union([Type.String({ maxLength: 256 }), Type.Number(), Type.Boolean()]),
  { maxProperties: 32 },
);
export type JobParameters = Static<typeof JobParameters>;

/** The two phases that spread chunks over Kafka: histograms, then pixels through the table. */
export const TaskPhase = Type.Union([Type.Literal('mapping'), Type.Literal('applying')]);
export type TaskPhase = Static<typeof TaskPhase>;

/** The key of one attempt at one chunk. Two records with the same five fields are the same. */
const taskKeyFields = {
  jobId: Id,
  phase: TaskPhase,
  chunk: Count,
  /** Number of the attempt at the chunk in this phase, from 1. */
  attempt: Positive,
  /** Epoch of the coordinator that issued the task. */
  coordinatorEpoch: Positive,
};

/** `equalizer.task.v1`: coordinator → leader of a partition. */
export const TaskRecord = Type.Object({
  type: Type.Literal('equalizer.task.v1'),
  ...taskKeyFields,
  /** Earlier attempts at the chunk in this phase that failed. */
  failures: Count,
  rectangle: Rectangle,
  image: SpooledImage,
  /** The look-up table to apply; null while mapping. */
  table: Type.Union([BlobKey, Type.Null()]),
  parameters: JobParameters,
});
export type TaskRecord = Static<typeof TaskRecord>;

/**
 * The output of a chunk: small tables are in the record (one list of counts for each channel),
 * others in the blob store.
 */
export const TaskOutput = Type.Union([
  Type.Object({
    kind: Type.Literal('counts'),
    channels: Type.Array(Type.Array(Count, { maxItems: 65_536 }), { maxItems: 16 }),
  }),
  Type.Object({ kind: Type.Literal('blob'), key: BlobKey, bytes: Count }),
]);
export type TaskOutput = Static<typeof TaskOutput>;

/** `equalizer.result.v1`: leader of a partition → coordinator. */
export const ResultRecord = Type.Object({
  type: Type.Literal('equalizer.result.v1'),
  ...taskKeyFields,
  partition: Count,
  /** Epoch of the leader that made the result. */
  partitionEpoch: Positive,
  outcome: Type.Union([
    Type.Object({
      kind: Type.Literal('done'),
      /**
       * Hash of the content of `output`. The same chunk has the same digest, whichever node
       * computes it.
       */
      digest: Type.String({ minLength: 1, maxLength: 128 }),
      output: TaskOutput,
    }),
    Type.Object({ kind: Type.Literal('failed'), reason: Reason }),
  ]),
});
export type ResultRecord = Static<typeof ResultRecord>;

/**
 * The chunks of one image as a grid: a few numbers, however many chunks. Ids count row by row from
 * 0.
 */
export const ChunkGrid = Type.Object({
  widthPixels: Positive,
  heightPixels: Positive,
  /** Width and height of every chunk but those at the right and lower edge. */
  chunkWidthPixels: Positive,
  chunkHeightPixels: Positive,
});
export type ChunkGrid = Static<typeof ChunkGrid>;

/** The durable part of a job: kilobytes, in ZooKeeper. The rest is read back from Kafka. */
export const JobMetadata = Type.Object({
  id: Id,
  /** Grows from job to job, in the order of their submission. */
  number: Count,
  caller: Type.String({ minLength: 1, maxLength: 128 }),
  /** Blob key of the upload. */
  input: BlobKey,
  parameters: JobParameters,
  phase: Type.Union([
    Type.Literal('queued'),
    Type.Literal('decoding'),
    TaskPhase,
    Type.Literal('finished'),
    Type.Literal('failed'),
    Type.Literal('cancelled'),
  ]),
  /** Coordinator epoch in which `phase` began. Results of older epochs belong to another plan. */
  phaseEpoch: Positive,
  /** Coordinators that ended while they decoded, reduced or stitched this job in this phase. */
  restarts: Count,
  /** The order in which jobs were started; null while queued. */
  turn: Type.Union([Positive, Type.Null()]),
  image: Type.Union([SpooledImage, Type.Null()]),
  grid: Type.Union([ChunkGrid, Type.Null()]),
  /** The look-up table, from `applying` on. */
  table: Type.Union([BlobKey, Type.Null()]),
  /** The equalized image, once finished. */
  result: Type.Union([BlobKey, Type.Null()]),
  /** Why it failed. */
  reason: Type.Union([Reason, Type.Null()]),
});
export type JobMetadata = Static<typeof JobMetadata>;

/**
 * The durable progress of a partition of the task topic, under its epoch: where its next leader
 * starts. No consumer group is used.
 */
export const PartitionProgress = Type.Object({
  /** The first offset that is not answered. */
  offset: Count,
  /** The highest coordinator epoch seen. */
  coordinatorEpoch: Count,
  /** Keys of the latest answered tasks, oldest first. */
  handled: Type.Array(Type.String({ maxLength: 256 }), { maxItems: 1_024 }),
  /** A task that was begun, and how often: if its leader dies of it, the next leader knows. */
  begun: Type.Union([Type.Object({ offset: Count, times: Count }), Type.Null()]),
});
export type PartitionProgress = Static<typeof PartitionProgress>;

/** @throws RecordTooLargeError if key and value together exceed {@link recordBytesMax} */
export function checkRecordBytes(key: Uint8Array | null, value: Uint8Array, what: string): void {
  const bytes = (key?.byteLength ?? 0) + value.byteLength;
  if (bytes > recordBytesMax) throw new RecordTooLargeError(what, { bytes, bytesMax: recordBytesMax });
}

/** The bytes of a task. @throws RecordTooLargeError */
export function encodeTask(task: TaskRecord): Buffer {
  return encode(task, `the task of chunk ${task.chunk} of job ${task.jobId}`);
}

/** The bytes of a result. @throws RecordTooLargeError */
export function encodeResult(result: ResultRecord): Buffer {
  return encode(result, `the result of chunk ${result.chunk} of job ${result.jobId}`);
}

/** A record that was read, or its issues. */
export type Parsed<T> = { record: T } | { issues: string[] };

/** Reads a task. Never throws: a poison record has issues. */
export function parseTask(bytes: Uint8Array | null): Parsed<TaskRecord> {
  return parseJson<TaskRecord>(TaskRecord, bytes);
}

/** Reads a result. Never throws: a poison record has issues. */
export function parseResult(bytes: Uint8Array | null): Parsed<ResultRecord> {
  return parseJson<ResultRecord>(ResultRecord, bytes);
}

/** Reads the metadata of a job. Never throws. */
export function parseJobMetadata(bytes: Uint8Array | null): Parsed<JobMetadata> {
  return parseJson<JobMetadata>(JobMetadata, bytes);
}

/** Reads the progress of a partition. Never throws. */
export function parsePartitionProgress(bytes: Uint8Array | null): Parsed<PartitionProgress> {
  return parseJson<PartitionProgress>(PartitionProgress, bytes);
}

/** Cuts `reason` to the length that a record may carry. */
export function boundedReason(reason: string): string {
  return reason.length <= reasonLengthMax ? reason : `${reason.slice(0, reasonLengthMax - 1)}…`;
}

function encode(record: TaskRecord | ResultRecord, what: string): Buffer {
  const bytes = Buffer.from(JSON.stringify(record));
  checkRecordBytes(null, bytes, what);
  return bytes;
}

/**
 * Reads a document of at most {@link recordBytesMax} bytes. Never throws: a bad document has
 * issues.
 */
export function parseJson<T>(schema: Type.TSchema, bytes: Uint8Array | null): Parsed<T> {
  if (bytes === null) return { issues: ['/ has no value'] };
  if (bytes.byteLength > recordBytesMax) return { issues: [`/ has more than ${recordBytesMax} bytes`] };
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (error) {
    return { issues: [`/ is no JSON: ${error instanceof Error ? error.message : String(error)}`] };
  }
  const issues = documentIssues(schema, value);
  return issues.length === 0 ? { record: value as T } : { issues };
}
