/** Elects one leader among many: a herd-free election, and a simple one for comparison. */
import { join } from '../../client/paths.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode } from '../../errors.ts';
import { claim } from '../leases/claim.ts';
import { decode, encode } from '../documents.ts';
import type { Lease, LeaseEnd, NodeLease } from '../leases/lease.ts';
import { waitForTurn } from '../leases/queue.ts';
import { isEnd, Recipe } from '../recipe.ts';
import { everyoneBlocks, ticketsIn } from '../leases/tickets.ts';

/** What an election reports, at once: a suspended leader must not act until it is resumed. */
export interface ElectionListener {
  elected?(lease: Lease): void;
  /**
   * The connection broke, or the server is silent: the leader must stop acting. Either `resumed` or
   * `deposed` follows.
   */
  suspended?(lease: Lease): void;
  /** The server has confirmed that this process still owns the lease, under the same epoch. */
  resumed?(lease: Lease): void;
  deposed?(lease: Lease, end: LeaseEnd): void;
  /** The election cannot continue: for example, this client may not create a node. */
  failed?(error: unknown): void;
}

export interface ElectionOptions {
  /** The node below which the candidates queue. */
  path: string;
  /** The name of this candidate in `candidates()`. */
  id: string;
  listener?: ElectionListener;
}

/** A candidate as `candidates()` lists it. */
export interface Candidate {
  id: string;
  /** The epoch under which it leads or would lead. */
  epoch: bigint;
}

/** What both elections share: campaign, lead, campaign again, until closed. */
export abstract class Election extends Recipe {
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

  /** The lease, while this candidate leads or is suspended. */
  get lease(): Lease | undefined {
    return this.#lease;
  }

  /** True if this candidate may act as leader now. */
  get leads(): boolean {
    return this.#lease?.held ?? false;
  }

  /** How often a watch has woken this candidate while it waited. */
  get wakeUps(): number {
    return this.#wakeUps;
  }

  /** True while it waits for its watch and sends no request. */
  get resting(): boolean {
    return this.#resting;
  }

  /** Resigns and joins the end of the queue again. Does nothing if this candidate does not lead. */
  async yield(): Promise<void> {
    await this.#lease?.release();
  }

  /** Lists the candidates in the order in which they would lead, the leader first. */
  abstract candidates(): Promise<Candidate[]>;

  protected get waiting(): { onRest: () => void; onWake: () => void } {
    return {
      onRest: () => (this.#resting = true),
      onWake: () => {
        this.#resting = false;
        this.#wakeUps += 1;
      },
    };
  }

  protected abstract campaign(signal: AbortSignal): Promise<NodeLease>;

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
        await this.#lead(await this.campaign(this.closing));
      } catch (error) {
        if (isEnd(error, this.closing)) return;
        await this.#lease?.release();
        this.#listener.failed?.(error);
        return;
      }
    }
  }

  async #lead(lease: NodeLease): Promise<void> {
    // `onClose` has already looked for a lease, and waits for this method.
    if (this.closing.aborted) return lease.release();
    this.#lease = lease;
    lease.onHeld((held) => {
      if (held) this.#listener.resumed?.(lease);
      else this.#listener.suspended?.(lease);
    });
    // Runs before any other listener of the end, so that this candidate stops leading before others
    // are informed.
    lease.signal.addEventListener('abort', () => (this.#lease = undefined));
    this.#listener.elected?.(lease);
    const end = await lease.ended;
    this.#lease = undefined;
    this.#listener.deposed?.(lease, end);
    // The seat of a resigned lease must be gone before the next one is taken.
    await lease.release();
  }
}

/**
 * The herd-free election: candidates draw tickets, the lowest ticket leads, and every other
 * candidate watches only the ticket before its own. The epoch is the transaction that created the
 * ticket, so it grows from leader to leader. Source: the leader election recipe of the ZooKeeper
 * documentation.
 */
export class LeaderElection extends Election {
  override async candidates(): Promise<Candidate[]> {
    const { names } = await this.zk.getChildren(this.path).catch(noChildren);
    const nodes = await Promise.all(
      ticketsIn(names).map(async ({ name }) => readCandidate(this.zk, join(this.path, name))),
    );
    return nodes.filter((candidate) => candidate !== undefined);
  }

  protected override async campaign(signal: AbortSignal): Promise<NodeLease> {
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
 * The simple election: the candidate that creates the node leads, and all others watch that node.
 * Each change of leader wakes all of them, and the next leader is not known in advance. For a
 * handful of candidates.
 */
export class SimpleElection extends Election {
  override async candidates(): Promise<Candidate[]> {
    const leader = await readCandidate(this.zk, this.#leaderPath);
    return leader === undefined ? [] : [leader];
  }

  protected override async campaign(signal: AbortSignal): Promise<NodeLease> {
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
