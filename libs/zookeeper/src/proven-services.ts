/**
 * Where the processes of a service are, told by themselves. Who is listed is sent what must not go elsewhere, and ZooKeeper lets
 * everybody write: so a listing counts only with a proof that needs the mesh's secret and holds for that name and place alone.
 */
import { deriveToken, verifyToken } from '@thermomesh/runtime';
import { ZooKeeper } from './client/zookeeper.ts';
import { ServiceDiscovery, type FoundInstance } from './recipes/service-discovery.ts';

export interface ServicePlace {
  /** `host:port,…` of ZooKeeper. */
  hosts: string;
  /** All services are below it. */
  path: string;
  sessionTimeoutMs: number;
  /** The mesh's: proves listings. */
  secret: string;
  onFault: (error: unknown) => void;
}

/** Who is listed, and where. */
export interface ListedProcess {
  /** Two that call themselves the same are told (`onFault`), and the later one stays. */
  id: string;
  address: string;
  port: number;
}

/** A process that is listed until it is withdrawn, or its session ends. */
export interface Announcement {
  readonly announced: boolean;
  /** In bounded time. Idempotent. */
  withdraw(): Promise<void>;
}

export interface FindServiceOptions extends ServicePlace {
  service: string;
  /** What holds while nobody is listed, and without ZooKeeper. */
  staticUrls: readonly string[];
  /** Called with the URLs that hold from now on, each time others do. */
  onChanged: (urls: readonly string[]) => void;
}

export interface ServiceFinder {
  /** Through an outage of ZooKeeper the last ones known. */
  readonly urls: () => readonly string[];
  /** Does not wait until ZooKeeper can be reached. */
  start(): void;
  /** In bounded time. Idempotent. */
  stop(): Promise<void>;
}

/** Work goes on with those known last: nobody is in a hurry while no server answers. */
const redialDelayMsMax = 2_000;

/** Lists a process, with its proof. Does not wait until ZooKeeper can be reached. */
export function announceService(
  service: string,
  { id, address, port }: ListedProcess,
  place: ServicePlace,
): Announcement {
  const { secret, path, onFault } = place;
  const proof = deriveToken(secret, subjectOf(service, { id, address, port }));
  const zk = connect(place);
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

/** Follows those of a service that prove themselves. */
export function findService(options: FindServiceOptions): ServiceFinder {
  const { secret, service, path, staticUrls, onFault } = options;
  let urls = staticUrls;
  let live: { stop: () => Promise<void> } | undefined;
  return {
    urls: () => urls,
    start() {
      const zk = connect(options);
      const discovery = new ServiceDiscovery(zk, { path, service, onFailed: onFault });
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

function connect({ hosts, sessionTimeoutMs, onFault }: ServicePlace): ZooKeeper {
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

/** Bound to service, name, address and port: moved elsewhere it proves nothing. */
function subjectOf(service: string, { id, address, port }: ListedProcess): string {
  return `announcement:${service}:${id}:${address}:${port}`;
}

function isProven(secret: string, service: string, instance: FoundInstance): boolean {
  const proof: unknown = instance.metadata?.['proof'];
  return typeof proof === 'string' && verifyToken(secret, subjectOf(service, instance), proof);
}

function urlOf({ address, port }: FoundInstance): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
}
