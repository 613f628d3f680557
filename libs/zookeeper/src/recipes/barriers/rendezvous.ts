/** A rendezvous: roles that need each other meet, in any order of start. */
import { raceAbort } from '@thermomesh/runtime';
import { join } from '../../client/paths.ts';
import type { WaitOptions, ZooKeeper } from '../../client/zookeeper.ts';
import { GroupMembership } from '../groups/group-membership.ts';
import { Recipe } from '../recipe.ts';
import { within } from '../waiting.ts';

/** A party as the others see it. */
export interface Party<D> {
  id: string;
  role: string;
  /** What the other parties need to know of it, such as its address. */
  document: D;
  /** The transaction of its arrival: a restarted party has a higher epoch. */
  epoch: bigint;
}

export interface RendezvousOptions<D> {
  path: string;
  /** Omit it to observe without taking part. */
  self?: { id: string; role: string; document: D };
  /** Parses another party's document. Parties whose document it rejects (throws) are omitted. */
  parse: (document: unknown) => D;
  /**
   * The rendezvous cannot continue: another process with the same id replaced this party, or the
   * client lacks a right.
   */
  onFailed?: (error: unknown) => void;
}

/** For each role, the number of parties that must be present. */
export type Needs = Readonly<Record<string, number>>;

/** The parties of each needed role, oldest first; undefined while a party is missing. Pure. */
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

/** Describes in words which parties are missing. Pure. */
export function missing(parties: readonly Party<unknown>[], needs: Needs): string {
  return Object.entries(needs)
    .map(([role, count]) => ({ role, count, there: parties.filter((party) => party.role === role).length }))
    .filter(({ count, there }) => there < count)
    .map(({ role, count, there }) => `${role}: ${there} of ${count}`)
    .join(', ');
}

/**
 * A place where processes that need each other meet, in any order of start. Each party publishes
 * its document under its role and waits until all are present. A party that dies disappears when
 * its session ends, so no other party uses its old address. The place stays open: a party that
 * comes later finds those that stayed, and `onChange` reports parties that came back with another
 * address.
 */
export class Rendezvous<D> extends Recipe {
  readonly #options: RendezvousOptions<D>;
  readonly #group: GroupMembership<{ role: string; document: D }>;
  readonly #failed = Promise.withResolvers<never>();

  /** @throws ZooKeeperError `zookeeper.bad_path` if the id is not a valid node name */
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
        if (typeof role !== 'string') throw new TypeError('the metadata of a party must have a role');
        return { role, document: parse(document) };
      },
      onFailed: (error) => {
        this.#failed.reject(error);
        options.onFailed?.(error);
      },
    });
    // A caller of `meet` gets the failure; without one it must not count as an unhandled rejection.
    this.#failed.promise.catch(() => undefined);
  }

  /** The last known parties. */
  get parties(): readonly Party<D>[] {
    return this.#group.members.map(({ id, epoch, metadata }) => ({ id, epoch, ...metadata }));
  }

  /** False while the list may have changed without this client knowing. */
  get fresh(): boolean {
    return this.#group.fresh;
  }

  /**
   * Calls the listener with the parties now and whenever one comes, goes or changes its document.
   * @returns a function that ends the subscription
   */
  onChange(listener: (parties: readonly Party<D>[]) => void): () => void {
    return this.#group.onChange(() => listener(this.parties));
  }

  /**
   * Waits until enough parties of each role are present, this one among them.
   * @throws ZooKeeperError `zookeeper.timeout`, whose message names the missing parties;
   *   `zookeeper.closed`; the signal's reason; the error that `onFailed` got
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
    signal.throwIfAborted();
    const met = Promise.withResolvers<ReadonlyMap<string, Party<D>[]>>();
    const { self } = this.#options;
    // An old list may name a party that is gone; the first read after an outage calls again.
    const stop = this.onChange((parties) => {
      if (!this.fresh || (self !== undefined && !parties.some(({ id }) => id === self.id))) return;
      const found = gather(parties, needs);
      if (found !== undefined) met.resolve(found);
    });
    try {
      return await raceAbort(Promise.race([met.promise, this.#failed.promise]), signal);
    } finally {
      stop();
    }
  }
}
