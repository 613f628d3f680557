/**
 * The coordinator's side of a story: sentences that say what happens, lines that say what the
 * coordinator does. README.md lists the sentences.
 */
import type { TaskPhase } from '@thermomesh/contracts';
import type { Sentence } from '@thermomesh/testing';
import { taskPhaseOf } from '../jobs.ts';
import type { CoordinatorEffect, MapReduceLimits, Timer } from '../types.ts';
import { resultOf, World, type Ask, type Coordinator } from './world.ts';

const limits: MapReduceLimits = {
  runningJobsMax: 2,
  openJobsMax: 10,
  tasksInFlightMax: 4,
  failuresPerChunkMax: 3,
  attemptsPerChunkMax: 4,
  restartsPerPhaseMax: 2,
  stragglerTimeoutMs: 10_000,
  stragglerTimeoutMaxMs: 30_000,
  chunksPerJobMax: 100,
  taskPartitions: 3,
  retentionMs: 3_600_000,
};

/** A coordinator, its successors and their jobs. */
export class CoordinatorStory {
  readonly world = new World(limits);
  #former: Coordinator | undefined;

  readonly sentences: Sentence<string[]>[] = [
    [/^(\w+) submits (\w+)$/, (caller, id) => this.#submit(caller, id)],
    [/^(\w+) is decoded into (\d+) chunks?$/, (id, chunks) => this.#decoded(this.#now, id, Number(chunks))],
    [/^the table of (\w+) is ready$/, (id) => this.#answer(this.#now, 'reduce', id)],
    [/^the image of (\w+) is stitched$/, (id) => this.#answer(this.#now, 'stitch', id)],
    [
      /^the (decoding|reducing|stitching) of (\w+) fails: (.+)$/,
      (phase, id, why) => this.#broken(phase, id, why),
    ],
    [
      /^chunks? ([\d ]+) of (\w+) (?:is|are) answered(?: again)?(?: as attempt (\d+))?(?: from epoch (\d+))?(?: by a leader of epoch (\d+))?$/,
      (chunks, id, ...how) => numbers(chunks).flatMap((chunk) => this.#result(id, chunk, how, undefined)),
    ],
    [
      /^chunk (\d+) of (\w+) is answered with other content$/,
      (chunk, id) => this.#result(id, Number(chunk), [], { digest: 'other' }),
    ],
    [
      /^a stray record of epoch (\d+) says that chunk (\d+) of (\w+) is done$/,
      (epoch, chunk, id) => this.#stray(id, Number(chunk), Number(epoch)),
    ],
    [
      /^chunk (\d+) of (\w+) fails(?: again)?(?: as attempt (\d+))?: (.+)$/,
      (chunk, id, attempt, reason) => this.#result(id, Number(chunk), [attempt], { reason }),
    ],
    [/^chunk (\d+) of (\w+) is not answered in time$/, (chunk, id) => this.#late(id, Number(chunk))],
    [/^(\w+) is cancelled$/, (jobId) => this.#feed({ type: 'cancelled', jobId })],
    [/^the retention of (\w+) is over$/, (jobId) => this.#fire({ kind: 'retention', jobId })],
    [/^the coordinator dies, and its successor recovers$/, () => this.#replace()],
    [
      /^(\w+) is decoded into (\d+) chunks, and the coordinator dies after (\d+) effects$/,
      (id, chunks, effects) => this.#decoded(this.#now, id, Number(chunks), Number(effects)),
    ],
    [/^its successor recovers$/, () => this.#replace()],
    [/^the coordinator is paused, and its successor recovers$/, () => this.#replace()],
    [
      /^the former coordinator wakes, and (\w+) is decoded into (\d+) chunks?$/,
      (id, chunks) => this.#decoded(this.#old, id, Number(chunks)),
    ],
    [/^the former coordinator wakes, and hears the last result$/, () => this.#hearLast()],
  ];

  get #now(): Coordinator {
    return this.world.coordinator;
  }

  get #old(): Coordinator {
    if (this.#former === undefined) throw new Error('there was no former coordinator');
    return this.#former;
  }

  #submit(caller: string, id: string): string[] {
    this.world.submit(id, caller, 1);
    return this.#run(this.#now);
  }

  #decoded(coordinator: Coordinator, jobId: string, rows: number, effectsMax = Infinity): string[] {
    const ask = this.#ask(coordinator, 'decode', jobId);
    coordinator.asks = coordinator.asks.filter((other) => other !== ask);
    const image = { key: `${jobId}/spool`, widthPixels: 10, heightPixels: rows, channels: 1, bitDepth: 8 };
    this.world.feed({ type: 'decoded', jobId, image, chunkPixelsMax: 10 }, coordinator);
    coordinator.todo.splice(effectsMax);
    return this.#run(coordinator);
  }

  #answer(coordinator: Coordinator, type: Ask['type'], jobId: string): string[] {
    this.world.answer(this.#ask(coordinator, type, jobId), coordinator);
    return this.#run(coordinator);
  }

  #ask(coordinator: Coordinator, type: Ask['type'], jobId: string): Ask {
    const ask = coordinator.asks.find((one) => one.type === type && one.job.id === jobId);
    if (ask === undefined) throw new Error(`the coordinator does not ask to ${type} ${jobId}`);
    return ask;
  }

  #broken(phase: string, jobId: string, reason: string): string[] {
    const known = phase === 'decoding' || phase === 'reducing' ? phase : 'stitching';
    return this.#feed({ type: 'workFailed', jobId, phase: known, reason });
  }

  /**
   * Delivers a result of the chunk's latest task, or of the attempt and coordinator that the
   * sentence names.
   */
  #result(
    jobId: string,
    chunk: number,
    [attempt = '', epoch = '', partitionEpoch = '']: (string | undefined)[],
    instead: { digest: string } | { reason: string } | undefined,
  ): string[] {
    const found = this.world.tasks.findLast(
      ({ task }) =>
        task.jobId === jobId &&
        task.chunk === chunk &&
        (attempt === '' || task.attempt === Number(attempt)) &&
        (epoch === '' || task.coordinatorEpoch === Number(epoch)),
    );
    if (found === undefined) throw new Error(`chunk ${chunk} of ${jobId} was never issued like that`);
    const record = resultOf(found.task, found.partition, Number(partitionEpoch || '1'));
    if (instead !== undefined && 'reason' in instead)
      record.outcome = { kind: 'failed', reason: instead.reason };
    else if (instead !== undefined && record.outcome.kind === 'done') record.outcome.digest = instead.digest;
    this.world.deliver(record);
    return this.#run(this.#now);
  }

  #stray(jobId: string, chunk: number, coordinatorEpoch: number): string[] {
    const found = this.world.tasks.findLast(({ task }) => task.jobId === jobId && task.chunk === chunk);
    if (found === undefined) throw new Error(`chunk ${chunk} of ${jobId} was never issued`);
    const record = { ...resultOf(found.task, found.partition, 1), coordinatorEpoch };
    this.world.deliver(record);
    return this.#run(this.#now);
  }

  #late(jobId: string, chunk: number): string[] {
    const job = this.#now.state.jobs[jobId];
    const attempt = job?.issues[chunk]?.attempt;
    const phase = job && taskPhaseOf(job);
    if (attempt === undefined || phase === undefined)
      throw new Error(`chunk ${chunk} of ${jobId} is not awaited`);
    return this.#fire({ kind: 'straggler', jobId, phase, chunk, attempt });
  }

  #fire(timer: Timer): string[] {
    if (!this.#now.timers.has(JSON.stringify(timer)))
      throw new Error(`no such timer: ${JSON.stringify(timer)}`);
    this.world.fire(timer);
    return this.#run(this.#now);
  }

  #replace(): string[] {
    this.#former = this.world.replaceCoordinator();
    return this.#run(this.#now);
  }

  #hearLast(): string[] {
    const record = this.world.results.at(-1);
    if (record === undefined) throw new Error('there was no result');
    this.world.feed({ type: 'result', record }, this.#old);
    return this.#run(this.#old);
  }

  #feed(event: Parameters<World['feed']>[0]): string[] {
    this.world.feed(event);
    return this.#run(this.#now);
  }

  #run(coordinator: Coordinator): string[] {
    const who = coordinator === this.#former ? 'the former coordinator: ' : '';
    return this.world.actAll(coordinator).flatMap((effect) => describe(effect).map((line) => who + line));
  }
}

function describe(effect: CoordinatorEffect): string[] {
  switch (effect.type) {
    case 'store': {
      const { id, phase, reason } = effect.job;
      return [`stores ${id}: ${phase}${reason === null ? '' : `, ${reason}`}`];
    }
    case 'decode':
      return [`asks to decode ${effect.job.id}`];
    case 'reduce':
      return [`asks for the table of ${effect.job.id} from ${keys(effect.outputs)}`];
    case 'stitch':
      return [`asks for the image of ${effect.job.id} from ${keys(effect.outputs)}`];
    case 'produce':
      return [issued(effect.partition, effect.task)];
    case 'abandon':
      return [`abandons the work on ${effect.jobId}`];
    case 'forget':
      return [`forgets ${effect.jobId}`];
    case 'refuse':
      return [`refuses chunk ${effect.record.chunk} of ${effect.record.jobId}: ${effect.why}`];
    case 'stepDown':
      return [`steps down for epoch ${effect.epoch}`];
    case 'arm':
    case 'disarm':
      return [];
  }
}

function issued(
  partition: number,
  task: { jobId: string; phase: TaskPhase; chunk: number; attempt: number; coordinatorEpoch: number },
): string {
  const { jobId, phase, chunk, attempt, coordinatorEpoch } = task;
  const what = phase === 'mapping' ? 'maps' : 'applies';
  return `${what} chunk ${chunk} of ${jobId} on partition ${partition}, attempt ${attempt}, epoch ${coordinatorEpoch}`;
}

/** Describes which parts of the image come in which order, such as `3 chunks, rows 0 1 2`. */
function keys(
  outputs: CoordinatorEffect extends infer E ? (E extends { outputs: infer O } ? O : never) : never,
): string {
  const tops = outputs.map((output) => (output.kind === 'blob' ? /,(\d+) /.exec(output.key)?.[1] : '?'));
  return `${outputs.length} ${outputs.length === 1 ? 'chunk' : 'chunks'}, rows ${tops.join(' ')}`;
}

function numbers(words: string): number[] {
  return words.trim().split(/\s+/).map(Number);
}
