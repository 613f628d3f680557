/** One leader among many: the herd-free election, and the simple one that it is measured against. */
import { join } from '../client/paths.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { hasCode } from '../errors.ts';
import { claim } from './claim.ts';
import { decode, encode } from './documents.ts';
import type { Lease, LeaseEnd, NodeLease } from './lease.ts';
import { waitForTurn } from './queue.ts';
import { isEnd, Recipe } from './recipe.ts';
import { everyoneBlocks, ticketsIn } from './tickets.ts';

/** What an election tells. Called at once: a leader that is suspended must not act until it is resumed. */
export interface ElectionListener {
  elected?(lease: Lease): void;
  /** The connection broke, or the server is silent: stop acting. Either `resumed` or `deposed` follows. */
  suspended?(lease: Lease): void;
  /** The server has confirmed that the lease is still ours, under the same epoch. */
  resumed?(lease: Lease): void;
  deposed?(lease: Lease, end: LeaseEnd): void;
  /** It cannot go on: no right to create a node, say. */
  failed?(error: unknown): void;
}

export interface ElectionOptions {
  /** Under this node the candidates queue. */
  path: string;
  /** Shown to everybody who asks who leads. */
  id: string;
  listener?: ElectionListener;
}

/** A candidate, the leader first. */
export interface Candidate {
  id: string;
  /** Under which it leads, or would. */
  epoch: bigint;
}

/** What both elections share: stand, lead, stand again, until closed. */
abstract class Election extends Recipe {
  readonly id: string;
  readonly #listener: ElectionListener;
  #lease: Lease | undefined;
  #running: Promise<void> = Promise.resolve();
  #wakeUps = 0;
  #resting = false;

  constructor(zk: ZooKeeper, { path, id, listener = {} }: ElectionOptions) {
    super(zk, path);
    this.id = id;
    this.#listener = listener;
  }

  /** While it leads or is suspended. */
  get lease(): Lease | undefined {
    return this.#lease;
  }

  /** True if it may act as leader now. */
  get leads(): boolean {
    return this.#lease?.held ?? false;
  }

  /** How often a watch has woken this candidate while it waited. */
  get wakeUps(): number {
    return this.#wakeUps;
  }

  /** True while it waits for its watch and asks nothing. */
  get resting(): boolean {
    return this.#resting;
  }

  /** Gives leadership up and stands again, behind everybody else. Does nothing if it does not lead. */
  async yield(): Promise<void> {
    await this.#lease?.release();
  }

  /** The candidates in the order in which they would lead, the leader first. */
  abstract standings(): Promise<Candidate[]>;

  protected get waiting(): { onRest: () => void; onWake: () => void } {
    return {
      onRest: () => (this.#resting = true),
      onWake: () => {
        this.#resting = false;
        this.#wakeUps += 1;
      },
    };
  }

  protected abstract stand(signal: AbortSignal): Promise<NodeLease>;

  protected override onStart(): void {
    this.#running = this.#run();
  }

  protected override async onClose(): Promise<void> {
    await this.#lease?.release();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.closing.aborted) {
      try {
        await this.#lead(await this.stand(this.closing));
      } catch (error) {
        if (isEnd(error, this.closing)) return;
        await this.#lease?.release();
        this.#listener.failed?.(error);
        return;
      }
    }
  }

  async #lead(lease: NodeLease): Promise<void> {
    this.#lease = lease;
    lease.onHeld((held) => {
      if (held) this.#listener.resumed?.(lease);
      else this.#listener.suspended?.(lease);
    });
    // Before anything else hears of the end, so that nobody acts while others are told.
    lease.signal.addEventListener('abort', () => (this.#lease = undefined));
    this.#listener.elected?.(lease);
    const end = await lease.ended;
    this.#lease = undefined;
    this.#listener.deposed?.(lease, end);
    // The seat of a yielded lease has to be gone before the next one is taken.
    await lease.release();
  }
}

/**
 * The herd-free election: candidates draw tickets, the lowest leads, everybody else watches only the one before. The epoch is the
 * transaction that drew the ticket: it grows from leader to leader.
 */
export class LeaderElection extends Election {
  override async standings(): Promise<Candidate[]> {
    const { names } = await this.zk.getChildren(this.path).catch(noChildren);
    const nodes = await Promise.all(
      ticketsIn(names).map(async ({ name }) => readCandidate(this.zk, join(this.path, name))),
    );
    return nodes.filter((candidate) => candidate !== undefined);
  }

  protected override async stand(signal: AbortSignal): Promise<NodeLease> {
    return waitForTurn(this.zk, {
      directory: this.path,
      kind: 'candidate',
      data: encode({ id: this.id }),
      blocks: everyoneBlocks,
      signal,
      ...this.waiting,
    });
  }
}

/**
 * The simple election: whoever creates the node leads, and everybody else watches it: each change of leader wakes all of them, and
 * nobody knows who is next. For a handful of candidates.
 */
export class SimpleElection extends Election {
  override async standings(): Promise<Candidate[]> {
    const leader = await readCandidate(this.zk, this.#leaderPath);
    return leader === undefined ? [] : [leader];
  }

  protected override async stand(signal: AbortSignal): Promise<NodeLease> {
    return claim(this.zk, {
      path: this.#leaderPath,
      content: { id: this.id },
      signal,
      ...this.waiting,
    });
  }

  get #leaderPath(): string {
    return join(this.path, 'leader');
  }
}

async function readCandidate(zk: ZooKeeper, path: string): Promise<Candidate | undefined> {
  try {
    const { data, stat } = await zk.getData(path);
    const document = decode(data) as { id?: unknown; content?: { id?: unknown } } | undefined;
    const id = document?.id ?? document?.content?.id;
    return { id: typeof id === 'string' ? id : '', epoch: stat.czxid };
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_node')) return undefined;
    throw error;
  }
}

function noChildren(error: unknown): { names: string[] } {
  if (hasCode(error, 'zookeeper.no_node')) return { names: [] };
  throw error;
}
