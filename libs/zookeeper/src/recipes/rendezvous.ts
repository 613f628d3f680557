/** Rendezvous: roles that need each other meet in any start order. */
import { join } from '../client/paths.ts';
import type { WaitOptions, ZooKeeper } from '../client/zookeeper.ts';
import { GroupMembership } from './group-membership.ts';
import { orAborted, Recipe } from './recipe.ts';
import { within } from './waiting.ts';

/** A party, as the others see it. */
export interface Party<D> {
  id: string;
  role: string;
  /** What the others have to know of it: where it listens, say. */
  document: D;
  /** The transaction of its coming: a restarted party has a higher one. */
  epoch: bigint;
}

export interface RendezvousOptions<D> {
  path: string;
  /** Left out: only looks on. */
  self?: { id: string; role: string; document: D };
  /** Of another party's document; throws on what is none. Such a party is left out. */
  parse: (document: unknown) => D;
  /** It cannot go on: replaced by another process of the same id, or not allowed. */
  onFailed?: (error: unknown) => void;
}

/** How many of each role have to be there. */
export type Needs = Readonly<Record<string, number>>;

/** Those of each role that is needed, all of them, oldest first; undefined while somebody is missing. Pure. */
export function gather<D>(
  parties: readonly Party<D>[],
  needs: Needs,
): ReadonlyMap<string, Party<D>[]> | undefined {
  const oldestFirst = parties.toSorted((left, right) => (left.epoch < right.epoch ? -1 : 1));
  const met = new Map(
    Object.keys(needs).map((role) => [role, oldestFirst.filter((party) => party.role === role)]),
  );
  return [...met].every(([role, those]) => those.length >= (needs[role] ?? 0)) ? met : undefined;
}

/** In words, who is missing. Pure. */
export function missing(parties: readonly Party<unknown>[], needs: Needs): string {
  return Object.entries(needs)
    .map(([role, count]) => ({ role, count, there: parties.filter((party) => party.role === role).length }))
    .filter(({ count, there }) => there < count)
    .map(({ role, count, there }) => `${role}: ${there} of ${count}`)
    .join(', ');
}

/**
 * A place where processes that need each other meet, in whatever order they are started: each says under its role what the others have
 * to know of it, and waits until all are there. Who dies is gone from it when its session ends, and has not to be waited for under its
 * old address. It stays open: who comes later finds those that stayed, and `onChange` tells who came back with another address.
 */
export class Rendezvous<D> extends Recipe {
  readonly #options: RendezvousOptions<D>;
  readonly #group: GroupMembership<{ role: string; document: D }>;
  readonly #failed = Promise.withResolvers<never>();

  /** @throws ZooKeeperError `zookeeper.bad_path` if the id is no name of a node */
  constructor(zk: ZooKeeper, options: RendezvousOptions<D>) {
    super(zk, options.path);
    this.#options = options;
    const { self, parse } = options;
    this.#group = new GroupMembership<{ role: string; document: D }>(zk, {
      path: join(options.path, 'parties'),
      ...(self === undefined
        ? {}
        : { self: { id: self.id, metadata: { role: self.role, document: self.document } } }),
      parse: (metadata) => {
        const { role, document } = (metadata ?? {}) as { role?: unknown; document?: unknown };
        if (typeof role !== 'string') throw new TypeError('a party has a role');
        return { role, document: parse(document) };
      },
      onFailed: (error) => {
        this.#failed.reject(error);
        options.onFailed?.(error);
      },
    });
    // Whoever waits hears of it; nobody has to wait.
    this.#failed.promise.catch(() => undefined);
  }

  /** Those that are there, as known last. */
  get parties(): readonly Party<D>[] {
    return this.#group.members.map(({ id, epoch, metadata }) => ({ id, epoch, ...metadata }));
  }

  /** False while what is known may have changed unseen. */
  get fresh(): boolean {
    return this.#group.fresh;
  }

  /** Called with those that are there, now and whenever somebody comes, goes or says something else. @returns what stops it */
  onChange(listener: (parties: readonly Party<D>[]) => void): () => void {
    return this.#group.onChange(() => listener(this.parties));
  }

  /**
   * Waits until as many of each role are there as are needed, this one among them.
   * @throws ZooKeeperError `zookeeper.timeout`, whose message says who is missing; `zookeeper.closed`; the signal's reason; what `onFailed`
   * was told
   */
  async meet(needs: Needs, options: WaitOptions = {}): Promise<ReadonlyMap<string, Party<D>[]>> {
    this.assertStarted();
    const { closing, path } = this;
    const what = () =>
      `missing ${missing(this.parties, needs) || this.#options.self?.id || 'the connection'}`;
    return within({ ...options, closing, path, what }, async (signal) => this.#meet(needs, signal));
  }

  protected override onStart(): void {
    this.#group.start();
    this.#group.ready().catch((error: unknown) => this.#failed.reject(error));
  }

  protected override async onClose(): Promise<void> {
    await this.#group.close();
  }

  async #meet(needs: Needs, signal: AbortSignal): Promise<ReadonlyMap<string, Party<D>[]>> {
    const met = Promise.withResolvers<ReadonlyMap<string, Party<D>[]>>();
    const { self } = this.#options;
    // An old list may name somebody who is gone; the first read after an outage calls again.
    const stop = this.onChange((parties) => {
      if (!this.fresh || (self !== undefined && !parties.some(({ id }) => id === self.id))) return;
      const found = gather(parties, needs);
      if (found !== undefined) met.resolve(found);
    });
    try {
      return await orAborted(Promise.race([met.promise, this.#failed.promise]), signal);
    } finally {
      stop();
    }
  }
}
