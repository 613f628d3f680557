/** The five processes, and the look at their forks. */
import { fork, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';
import { compareSequence, hasCode, join, sequenceOf, type ZooKeeper } from '@thermomesh/zookeeper';
import type { News, Order } from './philosophers-child.ts';
import type { Queue } from './philosophers-record.ts';

const script = path.join(import.meta.dirname, 'philosophers-child.ts');
/** For each step of a philosopher: to be there, to stop, to end. */
const stepTimeoutMs = 60_000;
const pollIntervalMs = 10;

/** One philosopher's process as its parent sees it. */
export class Philosopher {
  readonly number: number;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #ready = false;
  #dining = false;
  #over = false;
  #waits: number[] = [];

  constructor(hosts: string, number: number) {
    this.number = number;
    // Without options of the parent's Node; what it says wrong is seen.
    this.#child = fork(script, [hosts, String(number)], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.on('message', (news: News) => this.#take(news));
    this.#ended = new Promise((resolve) => {
      const end = () => {
        this.#over = true;
        resolve();
      };
      this.#child.once('exit', end);
      this.#child.once('error', end);
    });
  }

  /** From hungry to eating, in milliseconds, of each meal since it sat down last. */
  get waits(): readonly number[] {
    return this.#waits;
  }

  get alive(): boolean {
    return !this.#over;
  }

  async untilReady(): Promise<void> {
    await until(() => this.#ready || this.#over, `philosopher ${this.number} to be there`);
    if (this.#over) throw new MeshError('demo.stuck', `philosopher ${this.number} ended before it sat down`);
  }

  dine(order: Omit<Extract<Order, { type: 'dine' }>, 'type'>): void {
    this.#waits = [];
    this.#dining = true;
    this.#child.send({ type: 'dine', ...order } satisfies Order);
  }

  /** @param how `stop` after the meal that it waits for; `leave` the wait too */
  async end(how: 'stop' | 'leave'): Promise<void> {
    if (this.#over || !this.#dining) return;
    this.#child.send({ type: how } satisfies Order);
    await until(() => !this.#dining || this.#over, `philosopher ${this.number} to ${how}`);
  }

  /** kill -9; returns when the process is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** Ends it in order, by force if that takes too long. */
  async dismiss(): Promise<void> {
    if (this.#over) return;
    if (this.#child.connected) this.#child.disconnect();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), stepTimeoutMs);
    await this.#ended;
    clearTimeout(late);
  }

  #take(news: News): void {
    if (news.type === 'ready') this.#ready = true;
    else if (news.type === 'stopped') this.#dining = false;
    else this.#waits.push(news.waitedMs);
  }
}

/** Waits for the condition. @throws MeshError `demo.stuck` */
export async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + stepTimeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new MeshError('demo.stuck', `waited in vain for ${what}`);
    await delay(pollIntervalMs);
  }
}

/** Who holds each fork and who waits for it, as its lock's queue in ZooKeeper says. */
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
