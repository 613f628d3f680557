/** Jobs as znodes: any node can accept, read, follow and cancel them. */
import { codeOf, type MeshError } from '@thermomesh/runtime';
import { equalizerError } from '../core/errors.ts';
import { hasCode, isRetriable, type NodeData, type Watch, type ZooKeeper } from '@thermomesh/zookeeper';
import { viewOf, type Written } from '../core/job-view.ts';
import {
  isOver,
  nodesOf,
  parseJobDocument,
  parseJobProgress,
  type JobDocument,
  type JobProgress,
  type JobView,
  type Submission,
} from '../core/jobs.ts';
import type { Jobs, OpenJobs } from '../core/ports.ts';

export interface ZooKeeperJobsOptions {
  zk: ZooKeeper;
  /** The ZooKeeper node below which the equalizer keeps everything. */
  root: string;
  /** Time limit of one call, waiting for a connection included; then `jobs.unavailable`. */
  callTimeoutMs?: number;
  /** Minimum time between two reads of all open jobs for a count. */
  countAgainMs?: number;
  /** Receives the path and the issues of a znode that is not a valid job; it is skipped. */
  onDamaged?: (path: string, issues: readonly string[]) => void;
}

const callTimeoutMsDefault = 5_000;
const countAgainMsDefault = 1_000;
/** Znodes that are read concurrently for a list. */
const readsAtOnceMax = 100;

/** The port `Jobs` on ZooKeeper. Errors: `jobs.unavailable` (retriable), `jobs.damaged`. */
export function createZooKeeperJobs(options: ZooKeeperJobsOptions): Jobs {
  return new ZooKeeperJobs(options);
}

interface Known {
  readonly caller: string;
  readonly isOver: boolean;
}

/** A job that is damaged or gone; it counts for no caller. */
const unowned: Known = { caller: '', isOver: true };

class ZooKeeperJobs implements Jobs {
  readonly #zk: ZooKeeper;
  readonly #nodes: ReturnType<typeof nodesOf>;
  readonly #callTimeoutMs: number;
  readonly #onDamaged: (path: string, issues: readonly string[]) => void;
  readonly #countAgainMs: number;
  /** Immutable facts per job, cached after the first read: its owner, and whether it has ended. */
  #known = new Map<string, Known>();
  /** The latest read of all jobs that were not known to be over. */
  #counted: { atMs: number; done: Promise<void> } | undefined;

  constructor({ zk, root, callTimeoutMs, countAgainMs, onDamaged }: ZooKeeperJobsOptions) {
    this.#zk = zk;
    this.#nodes = nodesOf(root);
    this.#callTimeoutMs = callTimeoutMs ?? callTimeoutMsDefault;
    this.#countAgainMs = countAgainMs ?? countAgainMsDefault;
    this.#onDamaged = onDamaged ?? (() => undefined);
  }

  async accept(submission: Submission): Promise<void> {
    const document: JobDocument = { submission, metadata: null };
    await this.#create(this.#nodes.job(submission.id), Buffer.from(JSON.stringify(document)));
  }

  async countOpen(caller: string, exactFrom: OpenJobs): Promise<OpenJobs> {
    await this.#idsOf(caller);
    const bound = this.#openOf(caller);
    if (bound.all < exactFrom.all && bound.ofCaller < exactFrom.ofCaller) return bound;
    await this.#refreshOpen();
    return this.#openOf(caller);
  }

  async read(id: string): Promise<JobView | undefined> {
    return this.#call(async () => {
      const found = await this.#view(id);
      if (found !== undefined && isOver(found.phase)) return found;
      // Another node may have accepted or finished it just now, and this node's server may lag
      // behind: a caller who saw the end there must not see an earlier state here.
      await this.#zk.sync(this.#nodes.job(id));
      return this.#view(id);
    });
  }

  async list(caller: string): Promise<JobView[]> {
    const ids = await this.#idsOf(caller);
    const views = await inGroups(ids, async (id) => this.#call(async () => this.#viewOrDamaged(id)));
    return views
      .filter((view) => view !== undefined)
      .sort((one, other) => other.submission.submittedAtMs - one.submission.submittedAtMs);
  }

  async cancel(id: string): Promise<void> {
    const job = await this.read(id);
    if (job === undefined || isOver(job.phase)) return;
    await this.#create(this.#nodes.cancellation(id));
  }

  async *follow(id: string, signal: AbortSignal): AsyncGenerator<JobView, void, undefined> {
    if (signal.aborted || (await this.read(id)) === undefined || signal.aborted) return;
    const job = this.#zk.watchData(this.#nodes.job(id));
    const progress = this.#zk.watchData(this.#nodes.jobProgress(id));
    const changes = new Latest(signal);
    const stops = [job, progress].map((watch) => watch.subscribe(() => changes.wake()));
    // A watch that fails permanently must not leave its reader waiting.
    for (const watch of [job, progress]) void watch.first().catch(() => changes.wake());
    try {
      let last = '';
      while (await changes.next()) {
        const failure = job.failure ?? progress.failure;
        if (failure !== undefined) throw unavailable(failure);
        const view = this.#viewOfWatches(id, job, progress);
        if (view === 'incomplete') continue;
        if (view === undefined) return;
        if (view.version > last) yield view;
        last = view.version;
        if (isOver(view.phase)) return;
      }
    } finally {
      for (const stop of stops) stop();
      // Not awaited: closing a watch waits for its read in progress, and that may wait for a
      // server.
      void Promise.all([job.close(), progress.close()]);
    }
  }

  /**
   * Creates a node, also across lost connections: if the node exists by then, the goal is reached.
   */
  async #create(path: string, data?: Buffer): Promise<void> {
    await this.#call(async () => {
      try {
        await this.#zk.create(path, data);
      } catch (error) {
        if (hasCode(error, 'zookeeper.node_exists')) return;
        if (!hasCode(error, 'zookeeper.no_node')) throw error;
        await this.#zk.ensurePath(path.slice(0, path.lastIndexOf('/')));
        await this.#zk.create(path, data).catch((again: unknown) => {
          if (!hasCode(again, 'zookeeper.node_exists')) throw again;
        });
      }
    });
  }

  /** The ids of a caller's jobs; also caches the callers of all jobs. */
  async #idsOf(caller: string): Promise<string[]> {
    const names = await this.#call(async () => this.#names());
    const known = this.#known;
    const missing = names.filter((name) => !known.has(name));
    const read = await inGroups(missing, async (id) => this.#call(async () => this.#knownOf(id)));
    const found = new Map(missing.map((id, at) => [id, read[at] ?? unowned]));
    // Keep what another call has learnt meanwhile.
    this.#known = new Map(names.map((name) => [name, this.#known.get(name) ?? found.get(name) ?? unowned]));
    return names.filter((name) => this.#known.get(name)?.caller === caller);
  }

  async #knownOf(id: string): Promise<Known> {
    const view = await this.#viewOrDamaged(id);
    return view === undefined ? unowned : { caller: view.submission.caller, isOver: isOver(view.phase) };
  }

  #openOf(caller: string): OpenJobs {
    const open = [...this.#known.values()].filter((job) => !job.isOver);
    return { all: open.length, ofCaller: open.filter((job) => job.caller === caller).length };
  }

  /**
   * Reads all jobs that are not known to be over. Callers at the same time, and for a moment after,
   * share one read.
   */
  async #refreshOpen(): Promise<void> {
    const now = performance.now();
    if (this.#counted === undefined || now - this.#counted.atMs >= this.#countAgainMs) {
      const done = this.#readOpen();
      this.#counted = { atMs: now, done };
      done.catch(() => (this.#counted = undefined));
    }
    await this.#counted.done;
  }

  async #readOpen(): Promise<void> {
    const open = [...this.#known].filter(([, job]) => !job.isOver).map(([id]) => id);
    await inGroups(open, async (id) => {
      const job = await this.#call(async () => this.#knownOf(id));
      if (this.#known.has(id)) this.#known.set(id, job);
    });
  }

  async #names(): Promise<string[]> {
    try {
      return (await this.#zk.getChildren(this.#nodes.jobs)).names;
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) return [];
      throw error;
    }
  }

  async #viewOrDamaged(id: string): Promise<JobView | undefined> {
    try {
      return await this.#view(id);
    } catch (error) {
      if (codeOf(error) === 'jobs.damaged') return undefined;
      throw error;
    }
  }

  async #view(id: string): Promise<JobView | undefined> {
    const [job, progress] = await Promise.all(
      [this.#nodes.job(id), this.#nodes.jobProgress(id)].map(async (path) => this.#data(path)),
    );
    return job === undefined ? undefined : this.#decode(id, job, progress);
  }

  async #data(path: string): Promise<NodeData | undefined> {
    try {
      return await this.#zk.getData(path);
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) return undefined;
      throw error;
    }
  }

  #viewOfWatches(
    id: string,
    job: Watch<NodeData | undefined>,
    progress: Watch<NodeData | undefined>,
  ): JobView | undefined | 'incomplete' {
    if (job.current === undefined || progress.current === undefined) return 'incomplete';
    return job.current.value === undefined
      ? undefined
      : this.#decode(id, job.current.value, progress.current.value);
  }

  #decode(id: string, job: NodeData, progress: NodeData | undefined): JobView {
    const parsed = parseJobDocument(job.data);
    if ('issues' in parsed) {
      this.#onDamaged(this.#nodes.job(id), parsed.issues);
      throw equalizerError(
        'jobs.damaged',
        `the document of job ${id} is damaged: ${parsed.issues.join('; ')}`,
      );
    }
    return viewOf({ document: parsed.record, zxid: job.stat.mzxid }, writtenProgress(progress));
  }

  /** Waits for the connection and retries until the time limit. */
  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#zk.retry(work, { timeoutMs: this.#callTimeoutMs });
    } catch (error) {
      throw isRetriable(error) || hasCode(error, 'zookeeper.closed') ? unavailable(error) : error;
    }
  }
}

/** The progress of a job, for watchers; a damaged one counts as none. */
function writtenProgress(node: NodeData | undefined): Written<JobProgress> | undefined {
  if (node === undefined) return undefined;
  const parsed = parseJobProgress(node.data);
  return 'issues' in parsed ? undefined : { document: parsed.record, zxid: node.stat.mzxid };
}

function unavailable(cause: unknown): MeshError {
  return equalizerError('jobs.unavailable', 'ZooKeeper does not answer now', { cause });
}

async function inGroups<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += readsAtOnceMax)
    results.push(...(await Promise.all(items.slice(at, at + readsAtOnceMax).map(work))));
  return results;
}

/**
 * Reports changes; several changes before the next read are reported once. Ends with the signal.
 */
class Latest {
  readonly #signal: AbortSignal;
  #changed = Promise.withResolvers<void>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.wake(), { once: true });
  }

  wake(): void {
    this.#changed.resolve();
  }

  /** Resolves at the next change: true, or false once the signal has aborted. */
  async next(): Promise<boolean> {
    await this.#changed.promise;
    this.#changed = Promise.withResolvers();
    return !this.#signal.aborted;
  }
}
