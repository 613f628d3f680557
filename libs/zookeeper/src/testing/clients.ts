/** Clients of one test: made with short timeouts, all closed at its end. */
import { openLink, type Link } from '@thermomesh/links';
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
      sessionTimeoutMs: 2_000,
      onFault: (error) => this.faults.push(error),
      ...options,
    });
    this.#closers.push(async () => zk.close());
    this.#latest = zk;
    zk.start();
    await zk.whenConnected({ timeoutMs: 30_000 });
    return zk;
  }

  /** A client that reaches the first server, or the one named, through a link only. */
  async connectThroughLink(
    options: Partial<ZooKeeperOptions> & { target?: string } = {},
  ): Promise<LinkedClient> {
    const { target = this.#hosts.split(',')[0] ?? '', ...rest } = options;
    const [host = '', port = ''] = target.split(':');
    const link = await openLink({ name: 'client:server', port: 0, target: { host, port: Number(port) } });
    const phases: SessionPhase[] = [];
    const zk = new ZooKeeper({
      hosts: `127.0.0.1:${link.port}`,
      sessionTimeoutMs: 2_000,
      onFault: (error) => this.faults.push(error),
      ...rest,
    });
    this.#closers.push(async () => {
      // A link that is closed while it dials leaves a socket behind that keeps the process from ending.
      if (link.condition.state === 'pass' && zk.phase !== 'closed')
        await zk.whenConnected({ timeoutMs: 30_000 });
      await zk.close();
      await link.close();
    });
    zk.onPhase((phase) => phases.push(phase));
    zk.start();
    await zk.whenConnected({ timeoutMs: 30_000 });
    return { zk, link, phases };
  }

  async closeAll(): Promise<void> {
    await Promise.all(this.#closers.splice(0).map(async (close) => close()));
  }
}
