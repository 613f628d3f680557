/**
 * Where the equalizer's nodes are, told by themselves in ZooKeeper. Who is listed there is sent callers' images, and ZooKeeper lets
 * everybody write: so a listing counts only with a proof that needs the mesh's secret and holds for that name and place alone.
 */
import { verifyToken } from '@thermomesh/runtime';
import { ServiceDiscovery, ZooKeeper, type FoundInstance } from '@thermomesh/zookeeper';

export interface FindOptions {
  /** `host:port,…` of ZooKeeper. */
  hosts: string;
  /** All services are below it. */
  path: string;
  sessionTimeoutMs: number;
  /** The mesh's: proves listings. */
  secret: string;
  /** What holds while nobody is listed. */
  staticUrls: readonly string[];
  /** Called with the URLs that hold from now on, each time others do. */
  onChanged: (urls: readonly string[]) => void;
  onFault: (error: unknown) => void;
}

export interface EqualizerFinder {
  /** Through an outage of ZooKeeper the last ones known. */
  urls(): readonly string[];
  /** Does not wait until ZooKeeper can be reached. */
  start(): void;
  /** In bounded time. Idempotent. */
  stop(): Promise<void>;
}

const service = 'equalizer';
/** Images are taken all the same, from the nodes known last: nobody is in a hurry while no server answers. */
const redialDelayMsMax = 2_000;

export function findEqualizers(options: FindOptions): EqualizerFinder {
  const { hosts, sessionTimeoutMs, secret, path, staticUrls, onFault } = options;
  let urls = staticUrls;
  let live: { zk: ZooKeeper; discovery: ServiceDiscovery } | undefined;
  let stopped: Promise<void> | undefined;
  /** The session first: with it everything goes at once, and nothing waits for a frozen server. */
  async function stop(): Promise<void> {
    await live?.zk.close();
    await live?.discovery.close();
  }
  return {
    urls: () => urls,
    start() {
      const zk = new ZooKeeper({ hosts, sessionTimeoutMs, limits: { redialDelayMsMax }, onFault });
      const discovery = new ServiceDiscovery(zk, { path, service, onFailed: onFault });
      discovery.onChange((instances) => {
        const found = instances.filter((instance) => isProven(secret, instance)).map(urlOf);
        const next = found.length > 0 ? found : staticUrls;
        if (next.join() === urls.join()) return;
        urls = next;
        options.onChanged(urls);
      });
      live = { zk, discovery };
      zk.start();
      discovery.start();
    },
    stop: () => (stopped ??= stop()),
  };
}

function isProven(secret: string, { id, address, port, metadata }: FoundInstance): boolean {
  const proof: unknown = metadata?.['proof'];
  const subject = `announcement:${service}:${id}:${address}:${port}`;
  return typeof proof === 'string' && verifyToken(secret, subject, proof);
}

function urlOf({ address, port }: FoundInstance): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
}
