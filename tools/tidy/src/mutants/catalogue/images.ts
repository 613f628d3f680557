/** Guards of image jobs. */
import type { Mutant } from '../mutant.ts';

const mapReduceSuites = ['libs/mapreduce/src/trace.test.ts', 'libs/mapreduce/src/properties.test.ts'];

export const imagesMutants: Mutant[] = [
  {
    name: 'no-chunk-key',
    promise: 'I4',
    guard: 'contributions are kept by chunk id: a result that comes twice, or out of order, adds nothing',
    file: 'libs/mapreduce/src/jobs.ts',
    find: 'job.contributions.with(chunk, contribution)',
    replace: 'job.contributions.with(job.done, contribution)',
    suites: mapReduceSuites,
  },
  {
    name: 'no-chunk-in-the-merge',
    promise: 'I4',
    guard: 'a histogram that is delivered twice counts once',
    file: 'libs/equalization/src/merge.ts',
    find: 'this.#byChunk.set(chunkId, {',
    replace: 'this.#byChunk.set(`${chunkId}#${this.#byChunk.size}`, {',
    suites: ['libs/equalization/src/refusals.test.ts'],
  },
  {
    name: 'no-coordinator-epoch',
    promise: 'I4',
    guard:
      'results made for a coordinator that was deposed before the plan was stored belong to no chunk of it',
    file: 'libs/mapreduce/src/refusals.ts',
    find: 'if (record.coordinatorEpoch < job.metadata.phaseEpoch)',
    replace: 'if (false)',
    suites: mapReduceSuites,
  },
  {
    name: 'no-partition-epoch',
    promise: 'I4',
    guard: 'a leader that was paused and replaced answers for its partition no longer',
    file: 'libs/mapreduce/src/refusals.ts',
    find: 'if (record.partitionEpoch < highest)',
    replace: 'if (false)',
    suites: mapReduceSuites,
  },
  {
    name: 'no-attempt-check',
    promise: 'I5',
    guard: 'a failure counts once and for its own attempt: redelivery never fails a job',
    file: 'libs/mapreduce/src/refusals.ts',
    find: 'return present ?',
    replace: 'return present || issue ?',
    suites: mapReduceSuites,
  },
  {
    name: 'no-seat-check',
    promise: 'I4',
    guard: 'what a coordinator or a leader writes is refused once its seat is gone',
    file: 'services/equalizer/src/adapters/fenced-writes.ts',
    find: "[{ type: 'check', path: lease.path, version: -1 }, ...operations]",
    replace: 'operations',
    suites: ['services/equalizer/src/adapters/fenced-writes.int.ts'],
  },
  {
    name: 'jobs-of-everybody',
    promise: 'I5',
    guard: 'a caller neither sees nor ends a job of another one',
    file: 'services/equalizer/src/http/routes/jobs.ts',
    find: 'view?.submission.caller !== caller',
    replace: 'view === undefined',
    suites: ['services/equalizer/src/http/jobs.int.ts'],
  },
  {
    name: 'caller-header-believed',
    promise: 'I5',
    guard: 'whose request it is, the gateway alone may say',
    file: 'services/equalizer/src/http/access.ts',
    find: 'if (services.callerOf(bearer) === gateway) return passedOn(request);',
    replace: 'if (request.headers[callerHeader] !== undefined) return passedOn(request);',
    suites: ['services/equalizer/src/http/jobs.int.ts'],
  },
  {
    name: 'next-node-though-begun',
    promise: 'I5',
    guard: 'an upload of which something was sent is never given to a second node',
    file: 'services/gateway/src/jobs/jobs.ts',
    find: 'if (error.begun) throw interrupted(error);',
    replace: '',
    suites: ['services/gateway/src/jobs/http/routes.int.ts'],
  },
];
