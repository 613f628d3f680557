/**
 * The program of one philosopher: `philosophers-child.ts <hosts> <number>`. It ends when its parent
 * has gone.
 */
import { appendFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { sleep } from '@thermomesh/runtime';
import { isRetriable, Lock, Semaphore, type Lease } from '@thermomesh/zookeeper';
import { joinDemo } from './join-demo.ts';
import { seats, takingOrder, type ArmName, type RecordLine } from './philosophers-record.ts';

/**
 * The messages to the process. `stop` ends it after the meal that it waits for; `leave` ends the
 * wait as well.
 */
export type Order =
  { type: 'dine'; arm: ArmName; path: string; recordFile: string } | { type: 'stop' } | { type: 'leave' };
/** The messages from the process. */
export type PhilosopherNews = { type: 'meal'; waitedMs: number } | { type: 'stopped' };

const thinkMs = 5;
const mealMs = 10;
/** Pause between the two forks of the naive order: all five have taken their left one by then. */
const reachMs = 150;

const [hosts = '', number = ''] = process.argv.slice(2);
const philosopher = Number(number);
let stopping = new AbortController();
let leaving = new AbortController();
let dining = Promise.resolve();
const { zk, tell } = await joinDemo<Order, PhilosopherNews>({
  hosts,
  onOrder: (order) => {
    if (order.type === 'stop') stopping.abort();
    else if (order.type === 'leave') leaving.abort();
    else {
      [stopping, leaving] = [new AbortController(), new AbortController()];
      dining = dine(order).then(() => tell({ type: 'stopped' }));
    }
  },
  onParentGone: async () => {
    leaving.abort();
    await dining;
  },
});

async function dine({ arm, path, recordFile }: Extract<Order, { type: 'dine' }>): Promise<void> {
  const owner = `philosopher-${philosopher}`;
  const forks = takingOrder(arm, philosopher).map((fork) => ({
    fork,
    lock: new Lock(zk, `${path}/fork-${fork}`, owner).start(),
  }));
  // One chair less than philosophers, so that one of them can always take both forks.
  const chairs = new Semaphore(zk, { path: `${path}/chairs`, permits: seats - 1 }).start();
  const record = (fork: number, { epoch }: Lease, act: RecordLine['act']) =>
    appendFileSync(
      recordFile,
      `${JSON.stringify({ philosopher, fork, epoch: String(epoch), act } satisfies RecordLine)}\n`,
    );
  const { signal } = leaving;
  while (!stopping.signal.aborted && !signal.aborted) {
    await sleep(thinkMs);
    const hungryAtMs = performance.now();
    const taken: { fork: number; lease: Lease; acted: boolean }[] = [];
    let chair: Lease | undefined;
    try {
      if (arm === 'semaphore') chair = await chairs.acquire({ signal });
      for (const { fork, lock } of forks) {
        if (arm === 'naive' && taken.length > 0) await delay(reachMs, undefined, { signal });
        const lease = await lock.acquire({ signal });
        const acted = lease.held;
        if (acted) record(fork, lease, 'take');
        taken.push({ fork, lease, acted });
      }
      const waitedMs = performance.now() - hungryAtMs;
      await sleep(mealMs);
      if (taken.every(({ lease, acted }) => acted && lease.held)) tell({ type: 'meal', waitedMs });
    } catch (error) {
      // It has to leave, or ZooKeeper did not answer: it releases what it took and is hungry again.
      if (!signal.aborted && !isRetriable(error)) throw error;
    }
    for (const { fork, lease, acted } of taken) {
      if (acted) record(fork, lease, lease.held ? 'put' : 'lost');
      await lease.release();
    }
    await chair?.release();
  }
  await Promise.all([...forks.map(async ({ lock }) => lock.close()), chairs.close()]);
}
