/** Image jobs while a mesh is hurt: many kinds of images, submitted at a rate, each followed to its end and compared byte by byte. */
import { mkdtempSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { JobsDocument } from '@thermomesh/contracts';
import { MeshError, messageOf } from '@thermomesh/runtime';
import type { MeshConfig } from '../config.ts';
import { judgeJobs, type JobSeen } from './judge.ts';
import { clientOf, type JobPlace } from './place.ts';
import { makeSamples, type Sample } from './programs.ts';

export interface JobLoadOptions {
  config: MeshConfig;
  place: JobPlace;
  /** Of the run: part of every upload's name, so that jobs can be told apart. */
  name: string;
  /** About how long a side of an image is, in pixels. */
  sidePixels?: number;
  /** Jobs that are begun per second. */
  perSecond?: number;
  /** Jobs that may be open; while so many are, no more are begun. */
  openMax?: number;
  /** How often each kind is run before anything is hurt. */
  undisturbedRounds?: number;
  /** Told of what happens to each job. */
  note?: (event: string, detail: Record<string, unknown>) => void;
}

export interface JobLoad {
  /** Settles when every kind has been run undisturbed: from now on the mesh may be hurt. @throws MeshError `jobs.not_undisturbed` */
  undisturbed: Promise<void>;
  /**
   * Begins no more, waits for those that are open, and judges.
   * @param timeoutMs what is not over by then is unfinished: accepted work never just hangs (I5)
   */
  finish(timeoutMs: number): Promise<{ ok: boolean; document: JobsDocument }>;
}

const defaults = { sidePixels: 900, perSecond: 2, openMax: 8, undisturbedRounds: 3 };
/** Until somebody answers a call: longer than any outage that a series makes. */
const callDeadlineMs = 120_000;

/** @throws MeshError `equalizer.program_failed` */
export async function startJobLoad(options: JobLoadOptions): Promise<JobLoad> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-jobs-'));
  try {
    const { sidePixels = defaults.sidePixels } = options;
    const samples = await makeSamples(options.config, path.join(folder, 'samples'), sidePixels);
    return new Load(options, folder, samples);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

class Load implements JobLoad {
  readonly undisturbed: Promise<void>;
  readonly #options: JobLoadOptions;
  readonly #folder: string;
  readonly #samples: readonly Sample[];
  readonly #seen: JobSeen[] = [];
  readonly #open = new Set<Promise<void>>();
  readonly #over = new AbortController();
  readonly #finishing = new AbortController();
  #begun = 0;
  #sending: Promise<void> = Promise.resolve();

  constructor(options: JobLoadOptions, folder: string, samples: readonly Sample[]) {
    this.#options = options;
    this.#folder = folder;
    this.#samples = samples;
    this.undisturbed = this.#runUndisturbed();
    // Whoever starts a load waits for this or finishes it.
    this.undisturbed.catch(() => undefined);
  }

  async finish(timeoutMs: number): Promise<{ ok: boolean; document: JobsDocument }> {
    this.#finishing.abort();
    await this.undisturbed.catch(() => undefined);
    await this.#sending;
    const timer = setTimeout(() => this.#over.abort(), timeoutMs);
    await Promise.all(this.#open);
    clearTimeout(timer);
    await rm(this.#folder, { recursive: true, force: true });
    return judgeJobs(this.#seen);
  }

  /** Once for warming up: code is compiled while it runs. Then one after the other, so that nobody waits for anybody. */
  async #runUndisturbed(): Promise<void> {
    const { undisturbedRounds: rounds = defaults.undisturbedRounds } = this.#options;
    const all = Array.from({ length: rounds }, () => this.#samples).flat();
    await Promise.all(this.#samples.map(async (sample) => this.#run(sample, 'warm')));
    for (const sample of all) {
      if (this.#finishing.signal.aborted) return;
      await this.#run(sample, 'undisturbed');
    }
    const fault = this.#seen.find(({ fault }) => fault !== undefined)?.fault;
    if (fault !== undefined)
      throw new MeshError('jobs.not_undisturbed', `before anything was hurt: ${fault.kind}: ${fault.detail}`);
    if (!this.#finishing.signal.aborted) this.#sending = this.#send();
  }

  /** Begins jobs at the rate, until told to finish. Never rejects. */
  async #send(): Promise<void> {
    const { perSecond = defaults.perSecond, openMax = defaults.openMax } = this.#options;
    const { signal } = this.#finishing;
    for (let at = 0; !signal.aborted; at += 1) {
      const sample = this.#samples[at % this.#samples.length];
      if (sample === undefined) return;
      const job = this.#run(sample, 'disturbed').finally(() => this.#open.delete(job));
      this.#open.add(job);
      await delay(1_000 / perSecond, undefined, { signal }).catch(() => undefined);
      while (this.#open.size >= openMax && !signal.aborted) await Promise.race(this.#open);
    }
  }

  /** One job from its upload to the comparison. Never rejects. */
  async #run(sample: Sample, when: 'warm' | 'undisturbed' | 'disturbed'): Promise<void> {
    const { note = () => undefined } = this.#options;
    const number = (this.#begun += 1);
    const seen: JobSeen = {
      ...{ kind: sample.kind, id: null, acceptMs: null, jobMs: null, fault: undefined },
      undisturbed: when === 'undisturbed',
    };
    note('job.begun', { number, kind: sample.kind, when });
    await this.#follow(sample, number, seen);
    // What warms up is judged like the others, and measures nothing.
    if (when === 'warm') Object.assign(seen, { acceptMs: null, jobMs: null });
    note('job.over', { number, ...seen, fault: seen.fault ?? null });
    this.#seen.push(seen);
  }

  async #follow(sample: Sample, number: number, seen: JobSeen): Promise<void> {
    // A client of its own: it begins at the gateway, whatever others have met with.
    const client = clientOf(this.#options.place, callDeadlineMs);
    const { file, fields, kind } = sample;
    const fileName = `${this.#options.name}-${number}-${kind}${path.extname(file)}`;
    const out = path.join(this.#folder, String(number));
    const startedAt = performance.now();
    try {
      const { id } = await client.submit({ file, fields, fileName });
      Object.assign(seen, { id, acceptMs: performance.now() - startedAt });
    } catch (error) {
      seen.fault = { kind: 'not_accepted', detail: `${kind}: ${messageOf(error)}` };
      return;
    }
    const id = seen.id ?? '';
    const acceptedAt = performance.now();
    try {
      const { phase, reason } = await client.finished(id, this.#over.signal);
      seen.jobMs = performance.now() - acceptedAt;
      if (phase !== 'finished') {
        seen.fault = { kind: 'failed', detail: `${kind} is ${phase}: ${reason ?? 'no reason was given'}` };
        return;
      }
    } catch (error) {
      seen.fault = { kind: 'unfinished', detail: `${kind}: ${messageOf(error)}` };
      return;
    }
    try {
      await client.download(id, out);
      const [got, expected] = await Promise.all([out, sample.expected].map(async (each) => readFile(each)));
      if (got?.equals(expected ?? Buffer.alloc(0)) !== true)
        seen.fault = {
          kind: 'differs',
          detail: `${kind}: ${got?.length} bytes, not those of one process alone`,
        };
    } catch (error) {
      seen.fault = { kind: 'no_result', detail: `${kind}: ${messageOf(error)}` };
    } finally {
      await rm(out, { force: true });
    }
  }
}
