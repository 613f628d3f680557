/**
 * Finds the processes of a service by what they announce themselves. Listed instances receive
 * sensitive requests, but any ZooKeeper client may create a node. So a listing counts only with a
 * proof that requires the mesh's secret and is bound to that name and place.
 */
import { deriveToken, verifyToken } from '@thermomesh/runtime';
import { ZooKeeper } from './client/zookeeper.ts';
import { ServiceDiscovery, type FoundInstance } from './recipes/groups/service-discovery.ts';

export interface ServicePlace {
  /** `host:port,…` of ZooKeeper. */
  hosts: string;
  /** The node below which all services are listed. */
  path: string;
  sessionTimeoutMs: number;
  /** The mesh's secret, which proves listings. */
  secret: string;
  onError: (error: unknown) => void;
}

/** The name and the place of a listed process. */
export interface ListedProcess {
  /** If two processes use the same id, the later one stays and the earlier one gets `onError`. */
  id: string;
  address: string;
  port: number;
}

/** A process that is listed until it withdraws, or until its session ends. */
export interface Announcement {
  readonly announced: boolean;
  /** Ends the listing in bounded time. Idempotent. */
  withdraw(): Promise<void>;
}

export interface FindServiceOptions extends ServicePlace {
  service: string;
  /** The URLs used while no process is listed, and without ZooKeeper. */
  staticUrls: readonly string[];
  /** Called with the new URLs whenever they change. */
  onChanged: (urls: readonly string[]) => void;
}

export interface ServiceFinder {
  /** The current URLs; during an outage of ZooKeeper the last known ones. */
  readonly urls: () => readonly string[];
  /** Starts to follow the listings. Does not wait until ZooKeeper can be reached. */
  start(): void;
  /** Stops in bounded time. Idempotent. */
  stop(): Promise<void>;
}

/** Longer than the default: work continues with the last known list while no server answers. */
const redialDelayMsMax = 2_000;

/** Lists a process with its proof. Does not wait until ZooKeeper can be reached. */
export function announceService(
  service: string,
  { id, address, port }: ListedProcess,
  place: ServicePlace,
): Announcement {
  const { secret, path, onError } = place;
  const proof = proofOf(secret, service, { id, address, port });
  const zk = connect(place);
  const self = { id, instance: { address, port, metadata: { proof } } };
  const discovery = new ServiceDiscovery(zk, { path, service, self, onFailed: onError }).start();
  const withdraw = closerOf(zk, discovery);
  return {
    get announced() {
      return discovery.announced;
    },
    withdraw,
  };
}

/** Follows the instances of a service whose proof is valid. */
export function findService(options: FindServiceOptions): ServiceFinder {
  const { secret, service, path, staticUrls, onError } = options;
  let urls = staticUrls;
  let live: { stop: () => Promise<void> } | undefined;
  return {
    urls: () => urls,
    start() {
      const zk = connect(options);
      const discovery = new ServiceDiscovery(zk, { path, service, onFailed: onError });
      discovery.onChange((instances) => {
        const found = instances.filter((instance) => isProven(secret, service, instance)).map(urlOf);
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

function connect({ hosts, sessionTimeoutMs, onError }: ServicePlace): ZooKeeper {
  const zk = new ZooKeeper({ hosts, sessionTimeoutMs, limits: { redialDelayMsMax }, onError });
  zk.start();
  return zk;
}

/**
 * Closes the session first: the server then deletes all its nodes at once, and the close of the
 * recipe does not wait for a frozen server.
 */
function closerOf(zk: ZooKeeper, discovery: ServiceDiscovery): () => Promise<void> {
  let closed: Promise<void> | undefined;
  const close = async () => {
    await zk.close();
    await discovery.close();
  };
  return () => (closed ??= close());
}

/**
 * The proof that a listing carries in its metadata as `proof`. It is bound to service, id, address
 * and port: copied to another listing it proves nothing.
 */
export function proofOf(secret: string, service: string, listed: ListedProcess): string {
  return deriveToken(secret, subjectOf(service, listed));
}

function subjectOf(service: string, { id, address, port }: ListedProcess): string {
  return `announcement:${service}:${id}:${address}:${port}`;
}

function isProven(secret: string, service: string, instance: FoundInstance): boolean {
  const proof: unknown = instance.metadata?.['proof'];
  return typeof proof === 'string' && verifyToken(secret, subjectOf(service, instance), proof);
}

/** `http://host:port`, with an IPv6 address in brackets. */
export function urlOf({ address, port }: { address: string; port: number }): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
}
