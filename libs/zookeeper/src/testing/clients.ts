/** Clients of one test: made with short timeouts, all closed at its end. */
import { openLink, passing, type Link } from '@thermomesh/links';
import { ZooKeeper, type ZooKeeperOptions } from '../client/zookeeper.ts';
import type { SessionPhase } from '../client/session-state.ts';

/** A client behind a link that can be cut, stalled and delayed. */
export interface LinkedClient {
  zk: ZooKeeper;
  link: Link;
  phases: SessionPhase[];
}

/** The tick of the test servers: short sessions can be had. */
export const testTickTimeMs = 100;

/**
 * What test servers are started with. A machine that stalls for seconds costs nothing but time: long sessions can be had too, and the
 * members of an ensemble bear with each other's silence.
 */
export const testServers = {
  tickTimeMs: testTickTimeMs,
  settings: { maxSessionTimeout: '30000', syncLimit: String(10_000 / testTickTimeMs) },
};

/** Of clients that shall keep their session, whatever the machine does. */
const lastingSessionMs = 10_000;

/** Of clients whose session a test ends, and which must have it until then: a machine that stalls for a second or two takes it from none. */
export const endingSessionMs = 4_000;

export class TestClients {
  readonly #hosts: string;
  readonly #closers: (() => Promise<void>)[] = [];
  readonly faults: unknown[] = [];
  #latest: ZooKeeper | undefined;

  constructor(hosts: string) {
    this.#hosts = hosts;
  }

  /** The one that `connect` made last. */
  get latest(): ZooKeeper {
    if (this.#latest === undefined) throw new Error('there is no client yet');
    return this.#latest;
  }

  /** A client that is connected. */
  async connect(options: Partial<ZooKeeperOptions> = {}): Promise<ZooKeeper> {
    const zk = new ZooKeeper({
      hosts: this.#hosts,
      sessionTimeoutMs: lastingSessionMs,
      onFault: (error) => this.faults.push(error),
      ...options,
    });
    this.#closers.push(async () => zk.close());
    this.#latest = zk;
    zk.start();
    await zk.whenConnected({ timeoutMs: 30_000 });
    return zk;
  }

  /**
   * A client that is connected to the first server, or the one named, through a link. Those of `others` it can reach from then on too,
   * whatever is done to the link.
   */
  async connectThroughLink(
    options: Partial<ZooKeeperOptions> & { target?: string; others?: readonly string[] } = {},
  ): Promise<LinkedClient> {
    const { target = this.#hosts.split(',')[0] ?? '', others = [], ...rest } = options;
    const [link, ...ways] = await Promise.all([target, ...others].map(linkTo));
    if (link === undefined) throw new RangeError('no target');
    // The library takes servers in an order of its own.
    await Promise.all(ways.map(async (way) => way.set({ ...passing, state: 'cut' })));
    const phases: SessionPhase[] = [];
    const zk = new ZooKeeper({
      hosts: [link, ...ways].map(({ port }) => `127.0.0.1:${port}`).join(),
      sessionTimeoutMs: lastingSessionMs,
      onFault: (error) => this.faults.push(error),
      ...rest,
    });
    this.#closers.push(async () => {
      // A link that is closed while it dials leaves a socket behind that keeps the process from ending.
      if (link.condition.state === 'pass' && zk.phase !== 'closed')
        await zk.whenConnected({ timeoutMs: 30_000 });
      await zk.close();
      await Promise.all([link, ...ways].map(async (each) => each.close()));
    });
    zk.onPhase((phase) => phases.push(phase));
    zk.start();
    await zk.whenConnected({ timeoutMs: 30_000 });
    await Promise.all(ways.map(async (way) => way.set(passing)));
    return { zk, link, phases };
  }

  async closeAll(): Promise<void> {
    await Promise.all(this.#closers.splice(0).map(async (close) => close()));
  }
}

async function linkTo(address: string): Promise<Link> {
  const [host = '', port = ''] = address.split(':');
  return openLink({ name: 'client:server', port: 0, target: { host, port: Number(port) } });
}
