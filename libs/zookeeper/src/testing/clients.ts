/** The clients of one test: made with short timeouts, all closed at its end. */
import { openLink, passing, type Link } from '@thermomesh/links';
import { ZooKeeper, type ZooKeeperOptions } from '../client/zookeeper.ts';
import type { SessionPhase } from '../client/session-state.ts';

/** A client behind a link that can be cut, stalled and delayed. */
export interface LinkedClient {
  zk: ZooKeeper;
  link: Link;
  phases: SessionPhase[];
}

/** The tick of the test servers; it allows short sessions. */
export const testTickTimeMs = 100;

/**
 * The options of test servers. They allow long sessions too, and long silences among the members of
 * an ensemble, so that a machine that stalls for seconds costs only time.
 */
export const testServers = {
  tickTimeMs: testTickTimeMs,
  settings: { maxSessionTimeout: '30000', syncLimit: String(10_000 / testTickTimeMs) },
};

/** For clients that must keep their session, whatever the machine does. */
const lastingSessionMs = 10_000;

/**
 * For clients whose session a test ends. A machine that stalls for a second or two must not end it
 * earlier.
 */
export const endingSessionMs = 4_000;

export class TestClients {
  readonly #hosts: () => string;
  readonly #closers: (() => Promise<void>)[] = [];
  readonly errors: unknown[] = [];
  #latest: ZooKeeper | undefined;

  /** @param hosts called for each client, so that servers may start later */
  constructor(hosts: () => string) {
    this.#hosts = hosts;
  }

  /** The client that `connect` made last. */
  get latest(): ZooKeeper {
    if (this.#latest === undefined) throw new Error('there is no client yet');
    return this.#latest;
  }

  /** Makes a client and waits until it is connected. */
  async connect(options: Partial<ZooKeeperOptions> = {}): Promise<ZooKeeper> {
    const zk = new ZooKeeper({
      hosts: this.#hosts(),
      sessionTimeoutMs: lastingSessionMs,
      onError: (error) => this.errors.push(error),
      ...options,
    });
    this.#closers.push(async () => zk.close());
    this.#latest = zk;
    zk.start();
    await zk.whenConnected({ timeoutMs: 30_000 });
    return zk;
  }

  /**
   * Makes a client that is connected through a link to `target`, by default the first server.
   * Afterwards it can also reach the servers in `others`, whatever is done to the link.
   */
  async connectThroughLink(
    options: Partial<ZooKeeperOptions> & { target?: string; others?: readonly string[] } = {},
  ): Promise<LinkedClient> {
    const { target = this.#hosts().split(',')[0] ?? '', others = [], ...rest } = options;
    const [link, ...ways] = await Promise.all([target, ...others].map(linkTo));
    if (link === undefined) throw new RangeError('no target');
    // The library chooses its own order of servers.
    await Promise.all(ways.map(async (way) => way.set({ ...passing, state: 'cut' })));
    const phases: SessionPhase[] = [];
    const zk = new ZooKeeper({
      hosts: [link, ...ways].map(({ port }) => `127.0.0.1:${port}`).join(),
      sessionTimeoutMs: lastingSessionMs,
      onError: (error) => this.errors.push(error),
      ...rest,
    });
    this.#closers.push(async () => {
      // A link that is closed while it dials leaves a socket behind, which keeps the process from
      // ending.
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
