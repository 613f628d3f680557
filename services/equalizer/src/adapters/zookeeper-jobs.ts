/** Jobs as znodes: any node accepts, reads, follows and cancels them, whoever coordinates. */
import { MeshError } from '@thermomesh/runtime';
import { hasCode, isRetriable, type NodeData, type Watch, type ZooKeeper } from '@thermomesh/zookeeper';
import { viewOf, type Written } from '../core/job-view.ts';
import {
  isOver,
  nodesOf,
  parseJobDocument,
  parseJobProgress,
  type JobDocument,
  type JobProgress,
  type Jobs,
  type JobView,
  type OpenJobs,
  type Submission,
} from '../core/jobs.ts';

export interface ZooKeeperJobsOptions {
  zk: ZooKeeper;
  /** `ZOOKEEPER_PATH`. */
  root: string;
  /** How long one call may wait for a connection and its answer; then `jobs.unavailable`. */
  callTimeoutMs?: number;
  /** Jobs that are counted are read again at most so often. */
  countAgainMs?: number;
  /** A znode that is no job: it is passed over. */
  onDamaged?: (path: string, faults: readonly string[]) => void;
}

const callTimeoutMsDefault = 5_000;
const countAgainMsDefault = 1_000;
/** Znodes that are read at once for a list. */
const readsAtOnceMax = 100;

/** `core/jobs.ts` on ZooKeeper. Errors: `jobs.unavailable` (retriable), `jobs.damaged`. */
export function createZooKeeperJobs(options: ZooKeeperJobsOptions): Jobs {
  return new ZooKeeperJobs(options);
}

interface Known {
  readonly caller: string;
  readonly isOver: boolean;
}

/** A job that is damaged or gone: it takes nobody's place. */
const nobodys: Known = { caller: '', isOver: true };

class ZooKeeperJobs implements Jobs {
  readonly #zk: ZooKeeper;
  readonly #nodes: ReturnType<typeof nodesOf>;
  readonly #callTimeoutMs: number;
  readonly #onDamaged: (path: string, faults: readonly string[]) => void;
  readonly #countAgainMs: number;
  /** What never changes of each job: whose it is, and, once it is over, that. Read once for it. */
  #known = new Map<string, Known>();
  /** The latest look at all jobs that were not known to be over. */
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
    await this.#countAgain();
    return this.#openOf(caller);
  }

  async read(id: string): Promise<JobView | undefined> {
    return this.#call(async () => {
      const found = await this.#view(id);
      if (found !== undefined) return found;
      // Another node may have accepted it a moment ago, and this one's server not know yet.
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
    // A watch that fails for good must not leave its reader waiting.
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
      // Not awaited: a watch that is being read ends with that read, which may wait for a server that is away.
      void Promise.all([job.close(), progress.close()]);
    }
  }

  /** Creates, whatever becomes of the connection meanwhile: a node that is there by then is what was asked for. */
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

  /** The ids of a caller's jobs, and on the way the callers of all jobs there are. */
  async #idsOf(caller: string): Promise<string[]> {
    const names = await this.#call(async () => this.#names());
    const known = this.#known;
    const missing = names.filter((name) => !known.has(name));
    const read = await inGroups(missing, async (id) => this.#call(async () => this.#knownOf(id)));
    const found = new Map(missing.map((id, at) => [id, read[at] ?? nobodys]));
    // What another call has learnt meanwhile is not unlearnt.
    this.#known = new Map(names.map((name) => [name, this.#known.get(name) ?? found.get(name) ?? nobodys]));
    return names.filter((name) => this.#known.get(name)?.caller === caller);
  }

  async #knownOf(id: string): Promise<Known> {
    const view = await this.#viewOrDamaged(id);
    return view === undefined ? nobodys : { caller: view.submission.caller, isOver: isOver(view.phase) };
  }

  #openOf(caller: string): OpenJobs {
    const open = [...this.#known.values()].filter((job) => !job.isOver);
    return { all: open.length, ofCaller: open.filter((job) => job.caller === caller).length };
  }

  /** Reads all jobs that are not known to be over: one look for all who ask at the same time, and for a moment after. */
  async #countAgain(): Promise<void> {
    const now = performance.now();
    if (this.#counted === undefined || now - this.#counted.atMs >= this.#countAgainMs) {
      const done = this.#lookAtOpen();
      this.#counted = { atMs: now, done };
      done.catch(() => (this.#counted = undefined));
    }
    await this.#counted.done;
  }

  async #lookAtOpen(): Promise<void> {
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
      if (error instanceof MeshError && error.code === 'jobs.damaged') return undefined;
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
    if ('faults' in parsed) {
      this.#onDamaged(this.#nodes.job(id), parsed.faults);
      throw new MeshError(
        'jobs.damaged',
        `the document of job ${id} is damaged: ${parsed.faults.join('; ')}`,
      );
    }
    return viewOf({ document: parsed.record, zxid: job.stat.mzxid }, writtenProgress(progress));
  }

  /** Waits for the connection and tries again until the deadline. */
  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#zk.retry(work, { timeoutMs: this.#callTimeoutMs });
    } catch (error) {
      throw isRetriable(error) || hasCode(error, 'zookeeper.closed') ? unavailable(error) : error;
    }
  }
}

/** Only for watchers: one that is damaged is none. */
function writtenProgress(node: NodeData | undefined): Written<JobProgress> | undefined {
  if (node === undefined) return undefined;
  const parsed = parseJobProgress(node.data);
  return 'faults' in parsed ? undefined : { document: parsed.record, zxid: node.stat.mzxid };
}

function unavailable(cause: unknown): MeshError {
  return new MeshError('jobs.unavailable', 'ZooKeeper does not answer now', { cause, retriable: true });
}

async function inGroups<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += readsAtOnceMax)
    results.push(...(await Promise.all(items.slice(at, at + readsAtOnceMax).map(work))));
  return results;
}

/** Says that something has changed, once however often it did; ends with the signal. */
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

  /** False at the end. */
  async next(): Promise<boolean> {
    await this.#changed.promise;
    this.#changed = Promise.withResolvers();
    return !this.#signal.aborted;
  }
}
