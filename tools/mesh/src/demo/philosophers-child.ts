/** One philosopher as a process of its own: `philosophers-child.ts <hosts> <number>`; ends with its parent. */
import { appendFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { isRetriable, Lock, Semaphore, ZooKeeper, type Lease } from '@thermomesh/zookeeper';
import { seats, takingOrder, type ArmName, type RecordLine } from './philosophers-record.ts';

/** What it is told. `stop` ends after the meal that it waits for; `leave` ends the wait too. */
export type Order =
  { type: 'dine'; arm: ArmName; path: string; recordFile: string } | { type: 'stop' } | { type: 'leave' };
/** What it tells. */
export type News = { type: 'ready' } | { type: 'meal'; waitedMs: number } | { type: 'stopped' };

/** A killed philosopher's forks are free after this. */
const sessionTimeoutMs = 3_000;
const thinkMs = 5;
const mealMs = 10;
/** Between the forks of the naive order: all five have their left one by then. */
const reachMs = 150;
/** The parent is gone: so long for an end in order. */
const partingMs = 2_000;

const [hosts = '', number = ''] = process.argv.slice(2);
const philosopher = Number(number);
const zk = new ZooKeeper({ hosts, sessionTimeoutMs });
const tell = (news: News) => process.connected && process.send?.(news);
let stopping = new AbortController();
let leaving = new AbortController();
let dining = Promise.resolve();

process.on('message', (order: Order) => {
  if (order.type === 'stop') stopping.abort();
  else if (order.type === 'leave') leaving.abort();
  else {
    [stopping, leaving] = [new AbortController(), new AbortController()];
    dining = dine(order).then(() => void tell({ type: 'stopped' }));
  }
});
process.once('disconnect', () => {
  leaving.abort();
  // What cannot be put back goes with the session.
  setTimeout(() => process.exit(0), partingMs).unref();
  void dining.then(async () => zk.close()).then(() => process.exit(0));
});
zk.start();
await zk.whenConnected();
tell({ type: 'ready' });

async function dine({ arm, path, recordFile }: Extract<Order, { type: 'dine' }>): Promise<void> {
  const owner = `philosopher-${philosopher}`;
  const forks = takingOrder(arm, philosopher).map((fork) => ({
    fork,
    lock: new Lock(zk, `${path}/fork-${fork}`, owner).start(),
  }));
  // One seat less than philosophers: somebody can always take both forks.
  const chairs = new Semaphore(zk, { path: `${path}/chairs`, permits: seats - 1 }).start();
  const record = (fork: number, { epoch }: Lease, act: RecordLine['act']) =>
    appendFileSync(
      recordFile,
      `${JSON.stringify({ philosopher, fork, epoch: String(epoch), act } satisfies RecordLine)}\n`,
    );
  const { signal } = leaving;
  while (!stopping.signal.aborted && !signal.aborted) {
    await delay(thinkMs);
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
      await delay(mealMs);
      if (taken.every(({ lease, acted }) => acted && lease.held)) tell({ type: 'meal', waitedMs });
    } catch (error) {
      // Told to leave, or the server could not be asked: what was taken is put back, and it is hungry again.
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
