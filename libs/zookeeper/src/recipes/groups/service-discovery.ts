/** Finds the instances of a service. */
import { join } from '../../client/paths.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { ZooKeeperError } from '../../errors.ts';
import { roundRobin, type Balance } from './balance.ts';
import { GroupMembership, type Member } from './group-membership.ts';
import { Recipe } from '../recipe.ts';

/** The address of one instance and its metadata (version, flavour, …). */
export interface ServiceInstance {
  address: string;
  port: number;
  metadata: Record<string, string>;
}

export type FoundInstance = ServiceInstance & { id: string };

export interface DiscoveryOptions {
  /** The node below which all services are listed. */
  path: string;
  service: string;
  /** Omit it to look for instances without announcing one. */
  self?: { id: string; instance: ServiceInstance };
  /**
   * The list that holds before the first answer, and while ZooKeeper cannot be reached at the
   * start.
   */
  initial?: readonly FoundInstance[];
  balance?: Balance;
  /**
   * How long `choose` avoids an instance after `reportFailure`, if there are others. Default 5 s.
   */
  failureHoldMs?: number;
  nowMs?: () => number;
  onFailed?: (error: unknown) => void;
}

const failureHoldDefaultMs = 5_000;

/**
 * Announces this instance, finds the others, and keeps the last known list while ZooKeeper is away.
 */
export class ServiceDiscovery extends Recipe {
  readonly #group: GroupMembership<ServiceInstance>;
  readonly #initial: readonly FoundInstance[];
  readonly #balance: Balance;
  readonly #failureHoldMs: number;
  readonly #nowMs: () => number;
  readonly #failedAtMs = new Map<string, number>();
  #known = false;

  constructor(zk: ZooKeeper, options: DiscoveryOptions) {
    const path = join(options.path, options.service);
    super(zk, path);
    this.#initial = options.initial ?? [];
    this.#balance = options.balance ?? roundRobin();
    this.#failureHoldMs = options.failureHoldMs ?? failureHoldDefaultMs;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#group = new GroupMembership<ServiceInstance>(zk, {
      path,
      parse: parseInstance,
      ...(options.self === undefined
        ? {}
        : { self: { id: options.self.id, metadata: options.self.instance } }),
      ...(options.onFailed === undefined ? {} : { onFailed: options.onFailed }),
    });
  }

  /** True while a watch guards the list; false while it is only the last known one. */
  get fresh(): boolean {
    return this.#group.fresh;
  }

  /** True while this instance is announced. */
  get announced(): boolean {
    return this.#group.joined;
  }

  /** Resolves when the first list is known. */
  async ready(): Promise<void> {
    await this.#group.ready();
  }

  /** The known instances that pass the filter, sorted by id. */
  instances(filter: (instance: FoundInstance) => boolean = () => true): FoundInstance[] {
    const all = this.#known ? this.#group.members.map(found) : this.#initial;
    return all.filter(filter);
  }

  /**
   * Chooses one instance; those with a recent failure come last.
   * @throws ZooKeeperError `zookeeper.no_instance`
   */
  choose(filter?: (instance: FoundInstance) => boolean, balance: Balance = this.#balance): FoundInstance {
    const all = this.instances(filter);
    const healthy = all.filter(({ id }) => !this.#isHeld(id));
    const candidates = healthy.length > 0 ? healthy : all;
    const chosen = candidates.length === 0 ? undefined : candidates[balance(candidates)];
    if (chosen === undefined) {
      throw new ZooKeeperError('zookeeper.no_instance', `no instance of ${this.path} is known`, {
        path: this.path,
      });
    }
    return chosen;
  }

  /**
   * Reports that a call to the instance failed: `choose` avoids it for a while. ZooKeeper notices a
   * death only when the session ends.
   */
  reportFailure(id: string): void {
    this.#failedAtMs.set(id, this.#nowMs());
  }

  /** Replaces what this instance announces. */
  async update(instance: ServiceInstance): Promise<void> {
    await this.#group.update(instance);
  }

  /** @returns a function that ends the subscription */
  onChange(listener: (instances: readonly FoundInstance[]) => void): () => void {
    return this.#group.onChange((members) => listener(members.map(found)));
  }

  protected override onStart(): void {
    this.#group.onChange((members) => {
      this.#known = true;
      const ids = new Set(members.map(({ id }) => id));
      for (const id of this.#failedAtMs.keys()) if (!ids.has(id)) this.#failedAtMs.delete(id);
    });
    this.#group.start();
  }

  protected override async onClose(): Promise<void> {
    await this.#group.close();
  }

  #isHeld(id: string): boolean {
    const failedAtMs = this.#failedAtMs.get(id);
    return failedAtMs !== undefined && this.#nowMs() < failedAtMs + this.#failureHoldMs;
  }
}

const found = ({ id, metadata }: Member<ServiceInstance>): FoundInstance => ({ ...metadata, id });

function parseInstance(value: unknown): ServiceInstance {
  const { address, port, metadata } = (value ?? {}) as Partial<ServiceInstance>;
  if (typeof address !== 'string' || typeof port !== 'number' || typeof metadata !== 'object') {
    throw new ZooKeeperError('zookeeper.unexpected', 'an instance must have address, port and metadata');
  }
  return { address, port, metadata };
}
