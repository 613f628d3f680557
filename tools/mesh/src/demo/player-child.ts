/** One process of a demonstration: `player-child.ts <hosts> <name> <record file>`; ends with its parent. */
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  Barrier,
  DoubleBarrier,
  ReadWriteLock,
  Semaphore,
  SharedCounter,
  TaskAssignment,
  ZooKeeper,
  type Lease,
} from '@thermomesh/zookeeper';
import type { RecordLine } from './record.ts';

/** What it is sent to do, once it is told so. */
export type Errand =
  | { type: 'set' | 'wait'; path: string }
  | { type: 'round'; path: string; parties: number; workMs: number }
  | { type: 'tasks'; path: string; workMs: number }
  | { type: 'count'; path: string; times: number }
  | { type: 'read' | 'write'; path: string; forMs: number }
  | { type: 'permit'; path: string; permits: number; forMs: number };
/** What it tells. */
export type News = 'ready' | 'done';

/** What a killed one holds is free after this. */
const sessionTimeoutMs = 3_000;
/** Between taking and putting back, and before it reaches out again. */
const holdMs = 8;
const restMs = 4;
/** The parent is gone: so long for an end in order. */
const partingMs = 2_000;

const [hosts = '', who = '', recordFile = ''] = process.argv.slice(2);
const zk = new ZooKeeper({ hosts, sessionTimeoutMs });
const tell = (news: News) => process.connected && process.send?.(news);
const record = (line: Omit<RecordLine, 'who'>) =>
  appendFileSync(recordFile, `${JSON.stringify({ who, ...line } satisfies RecordLine)}\n`);
const parting = new AbortController();

process.on('message', (errand: Errand) => {
  void run(errand).then(() => void tell('done'));
});
process.once('disconnect', () => {
  parting.abort();
  // What cannot be put back goes with the session.
  setTimeout(() => process.exit(0), partingMs).unref();
  void zk.close().then(() => process.exit(0));
});
zk.start();
await zk.whenConnected();
tell('ready');

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
  await delay(workMs);
  record({ act: 'done', round });
  const { lost } = await barrier.leave();
  record({ act: 'gone', round, others: lost });
  await barrier.close();
}

/** Until its parent goes. */
async function doTasks({ path, workMs }: Extract<Errand, { type: 'tasks' }>): Promise<void> {
  new TaskAssignment(zk, {
    ...{ path, id: who },
    execute: async (_payload, { id }) => {
      record({ act: 'begun', kind: id });
      await delay(workMs);
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

/** Takes and puts back for so long. What it does not hold any more it does not touch, and says nothing of it. */
async function hold(forMs: number, take: () => Promise<{ lease: Lease; kind: string }>): Promise<void> {
  const until = performance.now() + forMs;
  while (performance.now() < until && !parting.signal.aborted) {
    const { lease, kind } = await take();
    for (const act of ['take', 'act', 'put']) {
      if (act !== 'take') await delay(holdMs / 2);
      if (!lease.held) break;
      record({ act, kind, epoch: String(lease.epoch) });
    }
    await lease.release();
    await delay(restMs);
  }
}
