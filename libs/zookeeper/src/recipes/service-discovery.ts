/** Where the instances of a service are. */
import { join } from '../client/paths.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { ZooKeeperError } from '../errors.ts';
import { roundRobin, type Balance } from './balance.ts';
import { GroupMembership, type Member } from './group-membership.ts';
import { Recipe } from './recipe.ts';

/** Where one instance listens, and what it says of itself (version, flavour, …). */
export interface ServiceInstance {
  address: string;
  port: number;
  metadata: Record<string, string>;
}

export type FoundInstance = ServiceInstance & { id: string };

export interface DiscoveryOptions {
  /** All services are below it. */
  path: string;
  service: string;
  /** Left out: only looks for others. */
  self?: { id: string; instance: ServiceInstance };
  /** What is known before the first answer, and if ZooKeeper cannot be reached at start. */
  initial?: readonly FoundInstance[];
  balance?: Balance;
  /** How long an instance that was reported as failing is passed over, as long as there are others. */
  failureHoldMs?: number;
  nowMs?: () => number;
  onFailed?: (error: unknown) => void;
}

const failureHoldDefaultMs = 5_000;

/** Announces this instance, finds the others, and goes on with the last known list while ZooKeeper is away. */
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

  /** True while the list is guarded by a watch; false: it is the last known one. */
  get fresh(): boolean {
    return this.#group.fresh;
  }

  /** True while this instance is announced. */
  get announced(): boolean {
    return this.#group.joined;
  }

  /** Returns when the first list is there. */
  async ready(): Promise<void> {
    await this.#group.ready();
  }

  /** All that are known and pass the filter, sorted by id. */
  instances(filter: (instance: FoundInstance) => boolean = () => true): FoundInstance[] {
    const all = this.#known ? this.#group.members.map(found) : this.#initial;
    return all.filter(filter);
  }

  /**
   * One of them. Those that were reported as failing come last.
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

  /** A call to it failed: it is passed over for a while. ZooKeeper notices a death only when the session ends. */
  reportFailure(id: string): void {
    this.#failedAtMs.set(id, this.#nowMs());
  }

  /** This instance says something else of itself. */
  async update(instance: ServiceInstance): Promise<void> {
    await this.#group.update(instance);
  }

  /** @returns what stops it */
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
    throw new ZooKeeperError('zookeeper.unexpected', 'an instance has address, port and metadata');
  }
  return { address, port, metadata };
}
