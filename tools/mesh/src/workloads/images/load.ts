/**
 * Image jobs during faults: many kinds of images, submitted at a rate, each followed to its end and
 * compared byte by byte.
 */
import { mkdtempSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { JobsDocument } from '@thermomesh/contracts';
import { messageOf, sleep } from '@thermomesh/runtime';
import type { MeshConfig } from '../../config.ts';
import { meshError } from '../../errors.ts';
import { until } from '../../mesh/until.ts';
import { judgeJobs, type JobSeen } from './judge.ts';
import type { JobKeeper } from '../../mesh/evidence/jobs.ts';
import { clientOf, type JobPlace } from '../../mesh/images/place.ts';
import { makeSamples, type Sample } from '../../mesh/images/programs.ts';

/** The size of the load; every value has a default. */
export interface JobLoadSize {
  /** Approximate side length of an image in pixels. */
  sidePixels?: number;
  /** Number of jobs that begin per second. */
  perSecond?: number;
  /** Maximum number of open jobs; none begins while there are as many. */
  openMax?: number;
  /** How often each kind runs before the first fault. */
  undisturbedRounds?: number;
}

export interface JobLoadOptions extends JobLoadSize {
  config: MeshConfig;
  place: JobPlace;
  /** Name of the run, which is part of each upload's name. */
  name: string;
  /** Receives the events of each job. */
  note?: (event: string, detail: Record<string, unknown>) => void;
  /** Keeps what the callers have seen, for later verdicts; closed at the end of the load. */
  keeper?: JobKeeper | undefined;
}

export interface JobLoad {
  /**
   * Settles when every kind has run without faults: from now on faults may be injected.
   * @throws MeshError `jobs.not_undisturbed`
   */
  undisturbed: Promise<void>;
  /**
   * Settles when a job that begins from now on has ended, which shows that work continues.
   * @throws MeshError `mesh.timeout`
   */
  moving(timeoutMs: number): Promise<void>;
  /**
   * Begins no more jobs, waits for the open ones, and judges.
   * @param timeoutMs a job that has not ended by then is unfinished: accepted work must not hang
   *   (I5)
   */
  finish(timeoutMs: number): Promise<{ ok: boolean; document: JobsDocument }>;
}

const defaults = { sidePixels: 900, perSecond: 2, openMax: 8, undisturbedRounds: 3 };
/** Time limit of a call; longer than any outage of a series. */
const callDeadlineMs = 120_000;

/**
 * Starts the load.
 * @throws MeshError `equalizer.program_failed`
 */
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
  /** Number of the latest job that has ended. */
  #lastOver = 0;
  #sending: Promise<void> = Promise.resolve();

  constructor(options: JobLoadOptions, folder: string, samples: readonly Sample[]) {
    this.#options = options;
    this.#folder = folder;
    this.#samples = samples;
    this.undisturbed = this.#runUndisturbed();
    // The caller waits for this or for the end of the load.
    this.undisturbed.catch(() => undefined);
  }

  async moving(timeoutMs: number): Promise<void> {
    const begun = this.#begun;
    await until(
      { what: 'an image job from its upload to its end', timeoutMs },
      async () => this.#lastOver > begun,
    );
  }

  async finish(timeoutMs: number): Promise<{ ok: boolean; document: JobsDocument }> {
    this.#finishing.abort();
    await this.undisturbed.catch(() => undefined);
    await this.#sending;
    const timer = setTimeout(() => this.#over.abort(), timeoutMs);
    await Promise.all(this.#open);
    clearTimeout(timer);
    await rm(this.#folder, { recursive: true, force: true });
    this.#options.keeper?.close();
    return judgeJobs(this.#seen);
  }

  /**
   * Runs every kind once to warm up, as code is compiled while it runs, and then one after the
   * other, so that no job waits for another one.
   */
  async #runUndisturbed(): Promise<void> {
    const { undisturbedRounds: rounds = defaults.undisturbedRounds } = this.#options;
    const all = Array.from({ length: rounds }, () => this.#samples).flat();
    await Promise.all(this.#samples.map(async (sample) => this.#run(sample, 'warm')));
    for (const sample of all) {
      if (this.#finishing.signal.aborted) return;
      await this.#run(sample, 'undisturbed');
    }
    const finding = this.#seen.find(({ finding }) => finding !== undefined)?.finding;
    if (finding !== undefined)
      throw meshError('jobs.not_undisturbed', `before the first fault: ${finding.kind}: ${finding.detail}`);
    if (!this.#finishing.signal.aborted) this.#sending = this.#send();
  }

  /** Begins jobs at the rate until the load finishes. Never rejects. */
  async #send(): Promise<void> {
    const { perSecond = defaults.perSecond, openMax = defaults.openMax } = this.#options;
    const { signal } = this.#finishing;
    for (let at = 0; !signal.aborted; at += 1) {
      const sample = this.#samples[at % this.#samples.length];
      if (sample === undefined) return;
      const job = this.#run(sample, 'disturbed').finally(() => this.#open.delete(job));
      this.#open.add(job);
      await sleep(1_000 / perSecond, signal);
      while (this.#open.size >= openMax && !signal.aborted) await Promise.race(this.#open);
    }
  }

  /** Runs one job from its upload to the comparison. Never rejects. */
  async #run(sample: Sample, when: 'warm' | 'undisturbed' | 'disturbed'): Promise<void> {
    const { note = () => undefined } = this.#options;
    const number = (this.#begun += 1);
    const seen: JobSeen = {
      kind: sample.kind,
      id: null,
      acceptMs: null,
      jobMs: null,
      finding: undefined,
      undisturbed: when === 'undisturbed',
    };
    note('job.begun', { number, kind: sample.kind, when });
    await this.#follow(sample, number, seen);
    // A warm-up job is judged like the others, but not measured.
    if (when === 'warm') Object.assign(seen, { acceptMs: null, jobMs: null });
    note('job.over', { number, ...seen, fault: seen.finding ?? null });
    this.#seen.push(seen);
    this.#lastOver = Math.max(this.#lastOver, number);
  }

  async #follow(sample: Sample, number: number, seen: JobSeen): Promise<void> {
    // A client of its own, so that every job begins at the gateway, whatever other clients have
    // met.
    const client = clientOf(this.#options.place, callDeadlineMs);
    const { keeper } = this.#options;
    const { file, fields, kind } = sample;
    const fileName = `${this.#options.name}-${number}-${kind}${path.extname(file)}`;
    const out = path.join(this.#folder, String(number));
    const startedAt = performance.now();
    try {
      const { id } = await client.submit({ file, fields, fileName });
      Object.assign(seen, { id, acceptMs: performance.now() - startedAt });
      keeper?.accepted(id);
    } catch (error) {
      seen.finding = { kind: 'not_accepted', detail: `${kind}: ${messageOf(error)}` };
      return;
    }
    const id = seen.id ?? '';
    const acceptedAt = performance.now();
    try {
      const { phase, reason } = await client.finished(id, this.#over.signal);
      seen.jobMs = performance.now() - acceptedAt;
      keeper?.over({ id, phase, reason });
      if (phase !== 'finished') {
        seen.finding = { kind: 'failed', detail: `${kind} is ${phase}: ${reason ?? 'no reason was given'}` };
        return;
      }
    } catch (error) {
      seen.finding = { kind: 'unfinished', detail: `${kind}: ${messageOf(error)}` };
      return;
    }
    try {
      await client.download(id, out);
      const [got, expected] = await Promise.all([out, sample.expected].map(async (each) => readFile(each)));
      const identical = got?.equals(expected ?? Buffer.alloc(0)) === true;
      keeper?.compared(id, identical);
      if (!identical)
        seen.finding = {
          kind: 'differs',
          detail: `${kind}: ${got?.length} bytes, not those of the single-process result`,
        };
    } catch (error) {
      seen.finding = { kind: 'no_result', detail: `${kind}: ${messageOf(error)}` };
    } finally {
      await rm(out, { force: true });
    }
  }
}
