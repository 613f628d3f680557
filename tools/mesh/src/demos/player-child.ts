/**
 * The program of a player: `player-child.ts <hosts> <name> <record file>`. It ends when its parent
 * has gone.
 */
import { appendFileSync } from 'node:fs';
import { sleep } from '@thermomesh/runtime';
import {
  Barrier,
  DoubleBarrier,
  ReadWriteLock,
  Semaphore,
  SharedCounter,
  TaskAssignment,
  type Lease,
} from '@thermomesh/zookeeper';
import { joinDemo } from './join-demo.ts';
import type { RecordLine } from './record.ts';

/** The message to the process: what it has to do. */
export type Errand =
  | { type: 'set' | 'wait'; path: string }
  | { type: 'round'; path: string; parties: number; workMs: number }
  | { type: 'tasks'; path: string; workMs: number }
  | { type: 'count'; path: string; times: number }
  | { type: 'read' | 'write'; path: string; forMs: number }
  | { type: 'permit'; path: string; permits: number; forMs: number };
/** The message from the process: it has finished its errand. */
export interface PlayerNews {
  type: 'done';
}

/** Time between taking and releasing, and time before it tries to take again. */
const holdMs = 8;
const restMs = 4;

const [hosts = '', who = '', recordFile = ''] = process.argv.slice(2);
const record = (line: Omit<RecordLine, 'who'>) =>
  appendFileSync(recordFile, `${JSON.stringify({ who, ...line } satisfies RecordLine)}\n`);
const leaving = new AbortController();
const { zk, tell } = await joinDemo<Errand, PlayerNews>({
  hosts,
  onOrder: (errand) => {
    void run(errand).then(() => tell({ type: 'done' }));
  },
  onParentGone: async () => leaving.abort(),
});

async function run(errand: Errand): Promise<void> {
  switch (errand.type) {
    case 'set':
    case 'wait':
      return atBarrier(errand.type, errand.path);
    case 'round':
      return playRound(errand);
    case 'tasks':
      return doTasks(errand);
    case 'count':
      return count(errand);
    case 'read':
    case 'write': {
      const lock = new ReadWriteLock(zk, errand.path, who).start();
      await hold(errand.forMs, async () => ({ lease: await lock[errand.type](), kind: errand.type }));
      return lock.close();
    }
    case 'permit': {
      const chairs = new Semaphore(zk, { path: errand.path, permits: errand.permits }).start();
      await hold(errand.forMs, async () => {
        const lease = await chairs.acquire();
        return { lease, kind: `slot ${lease.slot}` };
      });
      return chairs.close();
    }
  }
}

async function atBarrier(what: 'set' | 'wait', path: string): Promise<void> {
  const barrier = new Barrier(zk, path).start();
  if (what === 'set') await barrier.set();
  else {
    record({ act: 'come' });
    await barrier.wait();
  }
  record({ act: what === 'set' ? 'set' : 'passed' });
  await barrier.close();
}

async function playRound({ path, parties, workMs }: Extract<Errand, { type: 'round' }>): Promise<void> {
  const barrier = new DoubleBarrier(zk, { path, parties, id: who }).start();
  record({ act: 'come' });
  const { round } = await barrier.enter();
  record({ act: 'begun', round });
  await sleep(workMs);
  record({ act: 'done', round });
  const { lost } = await barrier.leave();
  record({ act: 'gone', round, others: lost });
  await barrier.close();
}

/** Works on tasks until the parent goes. */
async function doTasks({ path, workMs }: Extract<Errand, { type: 'tasks' }>): Promise<void> {
  new TaskAssignment(zk, {
    path,
    id: who,
    execute: async (_payload, { id }) => {
      record({ act: 'begun', kind: id });
      await sleep(workMs);
      record({ act: 'done', kind: id });
      return who;
    },
    onSettled: (id, settlement) => record({ act: settlement, kind: id }),
  }).start();
}

async function count({ path, times }: Extract<Errand, { type: 'count' }>): Promise<void> {
  const counter = new SharedCounter(zk, { path }).start();
  for (let index = 0; index < times; index += 1) {
    record({ act: 'begun' });
    await counter.add(1n);
    record({ act: 'answered' });
  }
  await counter.close();
}

/**
 * Takes and releases again and again for `forMs`. After losing a lease it neither acts under it nor
 * records anything.
 */
async function hold(forMs: number, take: () => Promise<{ lease: Lease; kind: string }>): Promise<void> {
  const until = performance.now() + forMs;
  while (performance.now() < until && !leaving.signal.aborted) {
    const { lease, kind } = await take();
    for (const act of ['take', 'act', 'put']) {
      if (act !== 'take') await sleep(holdMs / 2);
      if (!lease.held) break;
      record({ act, kind, epoch: String(lease.epoch) });
    }
    await lease.release();
    await sleep(restMs);
  }
}
