import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  boundedReason,
  checkRecordBytes,
  encodeResult,
  encodeTask,
  parseJobMetadata,
  parsePartitionProgress,
  parseResult,
  parseTask,
  reasonLengthMax,
  recordBytesMax,
  type ResultRecord,
  type TaskRecord,
} from './equalizer.ts';
import { RecordTooLargeError } from './errors.ts';

const task: TaskRecord = {
  type: 'equalizer.task.v1',
  jobId: 'job-1',
  phase: 'mapping',
  chunk: 0,
  attempt: 1,
  coordinatorEpoch: 3,
  failures: 0,
  rectangle: { left: 0, top: 0, width: 8, height: 2 },
  image: { key: 'job-1/spool', widthPixels: 8, heightPixels: 8, channels: 3, bitDepth: 8 },
  table: null,
  parameters: { mode: 'luminance' },
};

const result: ResultRecord = {
  type: 'equalizer.result.v1',
  jobId: 'job-1',
  phase: 'mapping',
  chunk: 0,
  attempt: 1,
  coordinatorEpoch: 3,
  partition: 2,
  partitionEpoch: 7,
  outcome: { kind: 'done', digest: 'ab', output: { kind: 'counts', channels: [[1, 2]] } },
};

describe('records of the equalizer', () => {
  it('records of the equalizer come back as they were sent', () => {
    assert.deepEqual(parseTask(encodeTask(task)), { record: task });
    assert.deepEqual(parseResult(encodeResult(result)), { record: result });
  });

  it('job metadata and progress come back as they were stored', () => {
    const job = {
      id: 'job-1',
      number: 0,
      caller: 'ann',
      input: 'job-1/upload',
      parameters: {},
      phase: 'mapping',
      phaseEpoch: 3,
      restarts: 0,
      turn: 1,
      table: null,
      result: null,
      reason: null,
      image: task.image,
      grid: { widthPixels: 8, heightPixels: 8, chunkWidthPixels: 8, chunkHeightPixels: 2 },
    };
    assert.deepEqual(parseJobMetadata(Buffer.from(JSON.stringify(job))), { record: job });
    assert.ok('issues' in parseJobMetadata(Buffer.from(JSON.stringify({ ...job, phase: 'reducing' }))));
    const progress = { offset: 3, coordinatorEpoch: 1, handled: ['a/mapping/0/1/1'], begun: null };
    assert.deepEqual(parsePartitionProgress(Buffer.from(JSON.stringify(progress))), { record: progress });
    assert.ok('issues' in parsePartitionProgress(Buffer.from('{}')));
  });

  it('a record over 256 KiB never leaves, and names its size', () => {
    const channels = [Array.from({ length: 65_536 }, () => 1_000_000)];
    const large: ResultRecord = {
      ...result,
      outcome: { kind: 'done', digest: 'ab', output: { kind: 'counts', channels } },
    };
    assert.throws(
      () => encodeResult(large),
      (error) =>
        error instanceof RecordTooLargeError &&
        error.code === 'record.too_large' &&
        !error.retriable &&
        error.bytes > recordBytesMax,
    );
    assert.throws(() => checkRecordBytes(Buffer.alloc(1), Buffer.alloc(recordBytesMax), 'it'));
    checkRecordBytes(null, Buffer.alloc(recordBytesMax), 'it');
  });

  it('a poison record has issues and throws nothing', () => {
    const poison = [
      null,
      Buffer.from(''),
      Buffer.from('{'),
      Buffer.from('null'),
      Buffer.from(JSON.stringify({ ...task, chunk: -1 })),
      Buffer.from(JSON.stringify({ ...task, attempt: 0 })),
      Buffer.from(JSON.stringify({ ...task, jobId: '../../etc' })),
      Buffer.from(JSON.stringify(result)),
      Buffer.alloc(recordBytesMax + 1, 0x20),
    ];
    for (const bytes of poison) assert.ok('issues' in parseTask(bytes), String(bytes).slice(0, 80));
    assert.ok('issues' in parseResult(encodeTask(task)));
  });

  it('a reason of any length fits', () => {
    assert.equal(boundedReason('short'), 'short');
    assert.equal(boundedReason('x'.repeat(5_000)).length, reasonLengthMax);
  });
});
