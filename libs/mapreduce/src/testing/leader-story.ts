/**
 * The leaders' side of a story: nodes A and B, one partition, one durable progress. README.md lists
 * the sentences.
 */
import type { PartitionProgress, TaskRecord } from '@thermomesh/contracts';
import type { Sentence } from '@thermomesh/testing';
import { initialLeader, leaderStep } from '../leader.ts';
import type { LeaderEffect, LeaderEvent, LeaderLimits, LeaderState } from '../leader.ts';
import { compute, imageOf } from './computing.ts';

const limits: LeaderLimits = {
  handledMax: 3,
  progressEveryTasks: 2,
  progressDelayMs: 1_000,
  startsPerTaskMax: 2,
};

/** One partition, and the nodes that lead it one after the other. */
export class LeaderStory {
  readonly #records: (TaskRecord | null)[] = [];
  readonly #nodes = new Map<string, LeaderState>();
  #progress: PartitionProgress | null = null;
  #epoch = 0;

  readonly sentences: Sentence<string[]>[] = [
    [
      /^the partition gets tasks? ([\d ]+) of (\w+)(?: as attempt (\d+))?(?: from epoch (\d+))?$/,
      (chunks, id, attempt, epoch) => this.#append(chunks, id, Number(attempt || '1'), Number(epoch || '1')),
    ],
    [/^the partition gets rubbish$/, () => this.#rubbish()],
    [/^([AB]) becomes leader$/, (name) => this.#lead(name)],
    [/^([AB]) reads offset (\d+)$/, (name, offset) => this.#read(name, Number(offset))],
    [/^([AB]) has worked on offset (\d+)$/, (name, offset) => this.#worked(name, Number(offset))],
    [
      /^([AB]) finds the job of offset (\d+) over$/,
      (name, offset) => this.#feed(name, { type: 'obsolete', offset: Number(offset) }),
    ],
    [
      /^([AB]) hears of coordinator epoch (\d+)$/,
      (name, epoch) => this.#feed(name, { type: 'coordinatorSeen', epoch: Number(epoch) }),
    ],
    [/^([AB])'s progress is due$/, (name) => this.#feed(name, { type: 'progressDue' })],
    [/^([AB]) loses the partition$/, (name) => this.#feed(name, { type: 'lost', epoch: this.#epoch })],
    [/^the topic is created again$/, () => this.#recreate()],
    [/^([AB]) dies$/, (name) => this.#die(name)],
  ];

  #append(chunks: string, jobId: string, attempt: number, coordinatorEpoch: number): string[] {
    for (const word of chunks.trim().split(/\s+/)) {
      this.#records.push({
        type: 'equalizer.task.v1',
        jobId,
        phase: 'mapping',
        chunk: Number(word),
        attempt,
        coordinatorEpoch,
        failures: 0,
        table: null,
        rectangle: { left: 0, top: Number(word), width: 10, height: 1 },
        image: imageOf(jobId, 10),
        parameters: {},
      });
    }
    return [];
  }

  #rubbish(): string[] {
    this.#records.push(null);
    return [];
  }

  #recreate(): string[] {
    this.#records.length = 0;
    return [];
  }

  #lead(name: string): string[] {
    const endOffset = this.#records.length;
    return this.#feed(name, { type: 'led', epoch: ++this.#epoch, progress: this.#progress, endOffset });
  }

  #read(name: string, offset: number): string[] {
    const task = this.#records[offset];
    if (task === undefined) throw new Error(`there is no offset ${offset}`);
    return this.#feed(name, task === null ? { type: 'unreadable', offset } : { type: 'task', offset, task });
  }

  #worked(name: string, offset: number): string[] {
    const task = this.#records[offset];
    if (task === undefined || task === null) throw new Error(`there is no task at ${offset}`);
    return this.#feed(name, { type: 'worked', offset, outcome: compute(task) });
  }

  #die(name: string): string[] {
    this.#nodes.delete(name);
    return [];
  }

  #feed(name: string, event: LeaderEvent): string[] {
    const before = this.#nodes.get(name) ?? initialLeader(0, limits);
    const [after, effects] = leaderStep(before, event);
    this.#nodes.set(name, after);
    return effects.flatMap((effect) => this.#carryOut(name, effect)).map((line) => `${name} ${line}`);
  }

  #carryOut(name: string, effect: LeaderEffect): string[] {
    switch (effect.type) {
      case 'readFrom':
        return [`reads from offset ${effect.offset}`];
      case 'pause':
        return ['reads no more'];
      case 'work':
        return [
          `works on chunk ${effect.task.chunk} of ${effect.task.jobId}, attempt ${effect.task.attempt}`,
        ];
      case 'abandon':
        return [`abandons offset ${effect.offset}`];
      case 'answer': {
        const { chunk, jobId, attempt, partitionEpoch, outcome } = effect.result;
        const end = outcome.kind === 'done' ? 'done' : `failed, ${outcome.reason}`;
        return [
          `answers chunk ${chunk} of ${jobId}, attempt ${attempt}, as leader of epoch ${partitionEpoch}: ${end}`,
        ];
      }
      case 'save': {
        if (effect.epoch < this.#epoch) {
          const line = 'is refused by the fence';
          return [
            line,
            ...this.#feed(name, { type: 'lost', epoch: effect.epoch }).map((text) =>
              text.slice(name.length + 1),
            ),
          ];
        }
        this.#progress = effect.progress;
        const { offset, begun } = effect.progress;
        return [`saves: from offset ${offset}${begun === null ? '' : `, begin ${begun.times} of its task`}`];
      }
      case 'skip':
        return [`skips offset ${effect.offset}: ${effect.why}`];
      case 'armProgress':
        return [];
    }
  }
}
