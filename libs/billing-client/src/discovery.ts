/**
 * Where the replicas of billing are, told by themselves in ZooKeeper. Whoever lists himself there is sent payment tokens, and
 * ZooKeeper lets everybody write: so an announcement counts only with a proof that needs the mesh's secret.
 */
import { deriveToken, verifyToken } from '@thermomesh/runtime';
import { ServiceDiscovery, ZooKeeper, type FoundInstance } from '@thermomesh/zookeeper';

export interface DiscoveryPlace {
  /** `host:port,…` of ZooKeeper. */
  hosts: string;
  /** All services are below it. */
  path: string;
  sessionTimeoutMs: number;
  /** The mesh's: proves announcements. */
  secret: string;
  onFault: (error: unknown) => void;
}

export interface AnnounceOptions extends DiscoveryPlace {
  /** Of the replica; two that call themselves the same are told (`onFault`), and the later one stays. */
  replica: string;
  address: string;
  port: number;
}

/** A replica that is listed until it is withdrawn, or its session ends. */
export interface Announcement {
  readonly announced: boolean;
  /** In bounded time. Idempotent. */
  withdraw(): Promise<void>;
}

export interface FindOptions extends DiscoveryPlace {
  /** What holds while nobody is listed, and without ZooKeeper. */
  staticUrls: readonly string[];
  /** Called with the URLs that hold from now on, each time others do. */
  onChanged: (urls: readonly string[]) => void;
}

export interface BillingFinder {
  /** For `urls` of the client; through an outage the last ones known. */
  readonly urls: () => readonly string[];
  /** Does not wait until ZooKeeper can be reached. */
  start(): void;
  /** In bounded time. Idempotent. */
  stop(): Promise<void>;
}

const service = 'billing';
/** Payments go on without: nobody is in a hurry while no server answers. */
const redialDelayMsMax = 2_000;

/** Lists a replica. Does not wait until ZooKeeper can be reached. */
export function announceBilling(options: AnnounceOptions): Announcement {
  const { replica: id, address, port, secret, path, onFault } = options;
  const proof = deriveToken(secret, subjectOf({ id, address, port }));
  const zk = connect(options);
  const self = { id, instance: { address, port, metadata: { proof } } };
  const discovery = new ServiceDiscovery(zk, { path, service, self, onFailed: onFault }).start();
  const withdraw = closerOf(zk, discovery);
  return {
    get announced() {
      return discovery.announced;
    },
    withdraw,
  };
}

/** Follows the replicas. */
export function findBilling(options: FindOptions): BillingFinder {
  const { secret, path, staticUrls, onFault } = options;
  let urls = staticUrls;
  let live: { stop: () => Promise<void> } | undefined;
  return {
    urls: () => urls,
    start() {
      const zk = connect(options);
      const discovery = new ServiceDiscovery(zk, { path, service, onFailed: onFault });
      discovery.onChange((instances) => {
        const found = instances.filter((instance) => isProven(secret, instance)).map(urlOf);
        const next = found.length > 0 ? found : staticUrls;
        if (next.join() === urls.join()) return;
        urls = next;
        options.onChanged(urls);
      });
      discovery.start();
      live = { stop: closerOf(zk, discovery) };
    },
    stop: async () => live?.stop(),
  };
}

function connect({ hosts, sessionTimeoutMs, onFault }: DiscoveryPlace): ZooKeeper {
  const zk = new ZooKeeper({ hosts, sessionTimeoutMs, limits: { redialDelayMsMax }, onFault });
  zk.start();
  return zk;
}

/** The session first: with it everything goes at once that it has made, and nothing waits for a frozen server. */
function closerOf(zk: ZooKeeper, discovery: ServiceDiscovery): () => Promise<void> {
  let closed: Promise<void> | undefined;
  const close = async () => {
    await zk.close();
    await discovery.close();
  };
  return () => (closed ??= close());
}

/** Bound to name, address and port: moved elsewhere it proves nothing. */
function subjectOf({ id, address, port }: Pick<FoundInstance, 'id' | 'address' | 'port'>): string {
  return `announcement:${service}:${id}:${address}:${port}`;
}

function isProven(secret: string, instance: FoundInstance): boolean {
  const proof: unknown = instance.metadata?.['proof'];
  return typeof proof === 'string' && verifyToken(secret, subjectOf(instance), proof);
}

function urlOf({ address, port }: FoundInstance): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
}
