/** The five philosophers' processes, and the queues of their forks in ZooKeeper. */
import path from 'node:path';
import { compareSequence, hasCode, join, sequenceOf, type ZooKeeper } from '@thermomesh/zookeeper';
import { DemoProcess, untilStep } from './demo-process.ts';
import type { Order, PhilosopherNews } from './philosophers-child.ts';
import type { Queue } from './philosophers-record.ts';

const script = path.join(import.meta.dirname, 'philosophers-child.ts');

/** One philosopher's process as its parent sees it. */
export class Philosopher {
  readonly number: number;
  readonly #process: DemoProcess<Order, PhilosopherNews>;
  #dining = false;
  #waits: number[] = [];

  constructor(hosts: string, number: number) {
    this.number = number;
    this.#process = new DemoProcess<Order, PhilosopherNews>({
      name: `philosopher ${number}`,
      script,
      args: [hosts, String(number)],
      onNews: (news) => {
        if (news.type === 'stopped') this.#dining = false;
        else this.#waits.push(news.waitedMs);
      },
    });
  }

  /** Milliseconds from hungry to eating, for each meal since the last call of `dine`. */
  get waits(): readonly number[] {
    return this.#waits;
  }

  get alive(): boolean {
    return this.#process.alive;
  }

  /** @throws MeshError `demo.stuck` */
  async untilReady(): Promise<void> {
    return this.#process.untilReady();
  }

  dine(order: Omit<Extract<Order, { type: 'dine' }>, 'type'>): void {
    this.#waits = [];
    this.#dining = true;
    this.#process.send({ type: 'dine', ...order });
  }

  /**
   * @param how `stop` lets it have the meal that it waits for; `leave` ends the wait
   * @throws MeshError `demo.stuck`
   */
  async end(how: 'stop' | 'leave'): Promise<void> {
    if (!this.alive || !this.#dining) return;
    this.#process.send({ type: how });
    await untilStep(`philosopher ${this.number} to ${how}`, () => !this.#dining || !this.alive);
  }

  /** Sends SIGKILL and resolves when the process has ended. */
  async kill(): Promise<void> {
    return this.#process.kill();
  }

  /** Ends the process gracefully, or with SIGKILL if that takes too long. */
  async dismiss(): Promise<void> {
    return this.#process.dismiss();
  }
}

/** The holder of each fork and those who wait for it, read from its lock's queue in ZooKeeper. */
export async function readQueues(zk: ZooKeeper, table: string, forks: number): Promise<Queue[]> {
  return Promise.all(
    Array.from({ length: forks }, async (_, fork) => readQueue(zk, `${table}/fork-${fork}`)),
  );
}

async function readQueue(zk: ZooKeeper, lock: string): Promise<Queue> {
  const { names } = await zk.getChildren(lock).catch((error: unknown) => {
    if (hasCode(error, 'zookeeper.no_node')) return { names: [] as string[] };
    throw error;
  });
  const tickets = names
    .map((name) => ({ name, sequence: sequenceOf(name) ?? 0 }))
    .sort((left, right) => compareSequence(left.sequence, right.sequence));
  const queue = await Promise.all(
    tickets.map(async ({ name }) => {
      const node = await zk.getData(join(lock, name)).catch((error: unknown) => {
        if (hasCode(error, 'zookeeper.no_node')) return undefined;
        throw error;
      });
      const number = /"owner":"philosopher-(\d+)"/.exec(node?.data.toString() ?? '')?.[1];
      return number === undefined ? undefined : { philosopher: Number(number), ticket: name };
    }),
  );
  return queue.filter((place) => place !== undefined);
}
