import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import { join } from '../../client/paths.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { endingSessionMs } from '../../testing/clients.ts';
import { loseNextMultiAnswer } from '../../testing/lose-answer.ts';
import { useZooKeeper } from '../../testing/use-zookeeper.ts';
import type { WorkerNews } from '../../testing/worker-child.ts';
import { Lock } from '../locks/lock.ts';
import { TaskAssignment, type TaskOptions } from './task-assignment.ts';
import { TaskNodes } from './task-nodes.ts';

afterEach(() => assert.deepEqual(failures.splice(0), []));
const { clients, ensemble, freshPath } = useZooKeeper();

const failures: unknown[] = [];
const begin = (zk: ZooKeeper, path: string, options: Partial<TaskOptions> = {}) =>
  new TaskAssignment(zk, { path, onFailed: (error) => failures.push(error), ...options }).start();
const timeoutMs = 20_000;

describe('a task assignment', () => {
  it('each task is done once, on all workers, whichever starts first', async () => {
    const path = freshPath();
    const client = begin(await clients.connect(), path, { master: false });
    const ids = await Promise.all([1, 2, 3, 4, 5, 6].map(async (number) => client.submit({ number })));
    const done = new Map<string, string>();
    const worker = async (name: string) =>
      begin(await clients.connect(), path, {
        id: name,
        slots: 2,
        execute: async (payload, { id, attempt }) => {
          assert.equal(attempt, 1);
          assert.equal(done.has(id), false);
          done.set(id, name);
          // Waits until both of them have something to do.
          await until('the other worker', () => new Set(done.values()).size === 2, { timeoutMs });
          return (payload as { number: number }).number * 10;
        },
      });
    const workers = [await worker('a'), await worker('b')];
    const outcomes = await Promise.all(ids.map(async (id) => client.result(id, { timeoutMs })));
    assert.deepEqual(
      outcomes.map((outcome) => outcome.ok && outcome.value),
      [10, 20, 30, 40, 50, 60],
    );
    assert.equal(workers.filter(({ leads }) => leads).length, 1);
    assert.deepEqual(await client.outstanding(), []);
    await Promise.all([client, ...workers].map(async (each) => each.close()));
  });

  it('simultaneous submissions stop at the limit, and one is taken when one is done', async () => {
    const path = freshPath();
    const submitters = await Promise.all(
      [1, 2, 3].map(async () => begin(await clients.connect(), path, { master: false, outstandingMax: 4 })),
    );
    const results = await Promise.allSettled(
      submitters.flatMap((each) => [1, 2, 3].map(async (payload) => each.submit(payload))),
    );
    const refused = results.filter((result) => result.status === 'rejected');
    assert.equal(refused.length, 5);
    for (const { reason } of refused) {
      assert.deepEqual(
        [(reason as { code: string }).code, (reason as { retriable: boolean }).retriable],
        ['zookeeper.too_many_requests', true],
      );
    }
    const worker = begin(await clients.connect(), path, { execute: async () => null });
    await until('all to be done', async () => (await worker.outstanding()).length === 0, { timeoutMs });
    await submitters[0]?.submit(5);
    await Promise.all([worker, ...submitters].map(async (each) => each.close()));
  });

  it('a task submitted again under its id runs once, and an error is a result too', async () => {
    const path = freshPath();
    let executions = 0;
    const tasks = begin(await clients.connect(), path, {
      execute: async () => {
        executions += 1;
        throw new Error('no such thing');
      },
    });
    const id = await tasks.submit('x', { id: 'only' });
    assert.deepEqual(await tasks.result(id, { timeoutMs }), { ok: false, error: 'no such thing' });
    await tasks.submit('x', { id: 'only' });
    assert.deepEqual([executions, await tasks.outstanding()], [1, []]);
    await assert.rejects(tasks.result('unknown'), { code: 'zookeeper.no_node' });
    await assert.rejects(tasks.submit('x', { id: 'a/b' }), { code: 'zookeeper.bad_path' });
    await tasks.close();
  });

  it('a submission whose answer is lost is stored once', async () => {
    const path = freshPath();
    const other = begin(await clients.connect(), path, { master: false });
    await other.submit('first');
    const linked = await clients.connectThroughLink();
    const { zk } = linked;
    const tasks = begin(zk, path, { master: false });
    loseNextMultiAnswer(linked, async () => {
      await until('the server to have done it', async () => (await other.outstanding()).length === 2);
    });
    await tasks.submit('second', { id: 'second' });
    assert.equal((await other.outstanding()).length, 2);
  });

  it('waiting for a result sends no requests and survives the loss of the session', async () => {
    const path = freshPath();
    const { zk, link, phases } = await clients.connectThroughLink({ sessionTimeoutMs: 500 });
    const client = begin(zk, path, { master: false });
    const other = await clients.connect();
    const id = await client.submit('x');
    const result = client.result(id, { timeoutMs });
    let made = -1;
    await until('the client to rest', async () => {
      const before = made;
      made = zk.requestsMade;
      for (let round = 0; round < 20; round += 1) await other.sync(path);
      return made === before;
    });
    await link.set({ ...passing, state: 'stall' });
    await until('the loss', () => phases.includes('lost'));
    const worker = begin(await clients.connect(), path, { execute: async () => 'done' });
    await until('the task to be done', async () => (await worker.outstanding()).length === 0, { timeoutMs });
    await link.set(passing);
    assert.deepEqual(await result, { ok: true, value: 'done' });
    await Promise.all([client, worker].map(async (each) => each.close()));
  });

  it('a lost answer is settled, and a result that is too large fails with a message', async () => {
    const path = freshPath();
    const client = begin(await clients.connect(), path);
    const linked = await clients.connectThroughLink();
    const { zk } = linked;
    const settled: string[] = [];
    const worker = begin(zk, path, {
      master: false,
      execute: async (payload) => (payload === 'large' ? 'x'.repeat(100_000) : payload),
      onSettled: (_id, settlement) => settled.push(settlement),
    });
    loseNextMultiAnswer(linked, async () => {
      await until('the server to have done it', async () => (await client.outstanding()).length === 0);
    });
    const id = await client.submit('small');
    assert.deepEqual(await client.result(id, { timeoutMs }), { ok: true, value: 'small' });
    await until('the word', () => settled.length === 1);
    const large = await client.result(await client.submit('large'), { timeoutMs });
    assert.match(large.ok ? '' : large.error, /exceed the 64\.0 KiB/);
    await until('the second word', () => settled.length === 2);
    assert.deepEqual(settled, ['recorded', 'recorded']);
    await Promise.all([client, worker].map(async (each) => each.close()));
  });

  it('a close waits only a limited time for a task that ignores its signal', async () => {
    const path = freshPath();
    let begun = false;
    const tasks = begin(await clients.connect(), path, {
      closeTimeoutMs: 20,
      execute: async () => {
        begun = true;
        return new Promise(() => undefined);
      },
    });
    await tasks.submit('x');
    await until('the task', () => begun);
    await tasks.close();
    const zk = await clients.connect();
    assert.throws(() => new TaskAssignment(zk, { path, slots: 0 }), RangeError);
    assert.throws(() => new TaskAssignment(zk, { path, id: 'a/b' }), { code: 'zookeeper.bad_path' });
  });

  it('only the latest results are kept', async () => {
    const path = freshPath();
    const tasks = begin(await clients.connect(), path, { execute: async () => null, resultsKeptMax: 2 });
    const ids: string[] = [];
    for (let count = 0; count < 6; count += 1) {
      ids.push(await tasks.submit(count));
      await tasks.result(ids.at(-1) ?? '', { timeoutMs });
    }
    await assert.rejects(tasks.result(ids[0] ?? ''), { code: 'zookeeper.no_node' });
    assert.equal((await tasks.result(ids.at(-1) ?? '')).ok, true);
    await tasks.close();
  });
});

describe('when a process dies', () => {
  it("a dead worker's task is done by another, and its own late answer is refused", async () => {
    const path = freshPath();
    const client = begin(await clients.connect(), path);
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: endingSessionMs });
    const answer = Promise.withResolvers<string>();
    const settled: string[] = [];
    let begun = false;
    let held = () => true;
    const dying = begin(zk, path, {
      master: false,
      execute: async (_payload, context) => {
        begun = true;
        held = context.held;
        return answer.promise;
      },
      onSettled: (_id, settlement) => settled.push(settlement),
    });
    const id = await client.submit('x');
    await until('the worker to begin', () => begun);
    await link.set({ ...passing, state: 'stall' });
    const heir = begin(await clients.connect(), path, {
      master: false,
      execute: async (_payload, { attempt }) => `attempt ${attempt}`,
    });
    assert.deepEqual(await client.result(id, { timeoutMs }), { ok: true, value: 'attempt 2' });
    assert.equal(held(), false);
    answer.resolve('too late');
    await until('the word', () => settled.length === 1);
    assert.deepEqual(settled, ['refused']);
    await link.set(passing);
    await until('its next life', () => dying.joined);
    assert.deepEqual(await client.result(id), { ok: true, value: 'attempt 2' });
    await Promise.all([client, dying, heir].map(async (each) => each.close()));
  });

  it('a worker that is paused in mid-task and wakes changes nothing with its answer', async () => {
    const path = freshPath();
    const client = begin(await clients.connect(), path);
    const news: WorkerNews[] = [];
    const child = fork(new URL('../../testing/worker-child.ts', import.meta.url), [ensemble().hosts, path]);
    child.on('message', (each: WorkerNews) => news.push(each));
    try {
      const id = await client.submit('x');
      await until('the child to begin', () => news.some(({ type }) => type === 'begun'), { timeoutMs });
      child.kill('SIGSTOP');
      const heir = begin(await clients.connect(), path, { master: false, execute: async () => 'in time' });
      assert.deepEqual(await client.result(id, { timeoutMs }), { ok: true, value: 'in time' });
      // Both messages wait in its socket and its pipe: the servers must refuse the answer,
      // whichever it reads first.
      child.send('answer');
      child.kill('SIGCONT');
      await until('its answer to be settled', () => news.some(({ type }) => type !== 'begun'));
      // If it sent the answer on its old connection quickly enough, it cannot know the outcome.
      assert.ok(news.every(({ type }) => type !== 'recorded'));
      assert.deepEqual(await client.result(id), { ok: true, value: 'in time' });
      await heir.close();
    } finally {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    await client.close();
  });

  it('a master that dies is followed, and the tasks it gave stay where they are', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: 500 });
    const first = begin(zk, path);
    await until('the first master', () => first.leads);
    const attempts: number[] = [];
    const finish = Promise.withResolvers<undefined>();
    const worker = begin(await clients.connect(), path, {
      master: false,
      slots: 2,
      execute: async (_payload, { attempt }) => {
        attempts.push(attempt);
        await finish.promise;
        return 'done';
      },
    });
    const second = begin(await clients.connect(), path);
    const ids = [await second.submit(1)];
    await until('the first task', () => attempts.length === 1);
    const epoch = first.lease?.epoch ?? 0n;
    await link.set({ ...passing, state: 'stall' });
    await until('the second master', () => second.leads);
    ids.push(await second.submit(2));
    await until('the second task', () => attempts.length === 2);
    assert.ok((second.lease?.epoch ?? 0n) > epoch);
    finish.resolve(undefined);
    for (const id of ids)
      assert.deepEqual(await second.result(id, { timeoutMs }), { ok: true, value: 'done' });
    assert.deepEqual(attempts, [1, 1]);
    await link.set(passing);
    await Promise.all([first, second, worker].map(async (each) => each.close()));
  });

  it('a task that kills its workers is given up with a message', async () => {
    const path = freshPath();
    const client = begin(await clients.connect(), path, { attemptsMax: 2 });
    const id = await client.submit('poison');
    for (let count = 0; count < 2; count += 1) {
      let begun = false;
      const worker = begin(await clients.connect(), path, {
        master: false,
        execute: async (_payload, { signal }) => {
          begun = true;
          await once(signal, 'abort');
        },
      });
      await until('the task to begin', () => begun);
      await worker.close();
    }
    const outcome = await client.result(id, { timeoutMs });
    assert.match(outcome.ok ? '' : outcome.error, /given up after 2 workers/);
    await client.close();
  });
});

describe('two masters', () => {
  it('a deposed master assigns, ends and removes nothing, however late it writes', async () => {
    const path = freshPath();
    const zk = await clients.connect();
    const nodes = new TaskNodes(zk, path);
    const client = begin(zk, path, { master: false });
    const id = await client.submit('x');
    const election = new Lock(zk, join(path, 'master')).start();
    await zk.create(join(nodes.workers, 'w'));
    await zk.create(join(nodes.assigned, 'gone'));
    const deposed = await election.acquire();
    await deposed.release();
    const task = (await nodes.task(id)) ?? assert.fail();
    await assert.rejects(nodes.give(deposed, task, 'w'), { code: 'zookeeper.no_node' });
    await assert.rejects(nodes.giveUp(deposed, task, 'late'), { code: 'zookeeper.no_node' });
    await assert.rejects(nodes.removeFolder(deposed, 'gone'), { code: 'zookeeper.no_node' });
    assert.deepEqual(await nodes.task(id), task);
    assert.deepEqual(await nodes.children(nodes.assigned), ['gone']);
    const master = await election.acquire();
    const now = await nodes.give(master, task, 'w');
    assert.equal(now.document.masterEpoch, String(master.epoch));
    // A version that was read earlier is refused to all: a second assignment as well as the answer
    // of an earlier worker.
    await assert.rejects(nodes.give(master, task, 'w'), { code: 'zookeeper.bad_version' });
    await assert.rejects(nodes.finish(task, { outcome: { ok: true, value: 1 }, by: 'earlier' }), {
      code: 'zookeeper.bad_version',
    });
    await nodes.finish(now, { outcome: { ok: true, value: 2 }, by: 'w' });
    assert.deepEqual(await client.result(id), { ok: true, value: 2 });
  });
});
