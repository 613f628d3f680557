import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '@thermomesh/mesh/testing';
import { openKafka, type IncomingRecord } from '@thermomesh/kafka';
import {
  assertIdentical,
  equalized,
  filesOf,
  openRig,
  sample,
  submit,
  type EqualizerNode,
  type Rig,
} from './equalizer-support.ts';
import { crashAt, untilHit, waitMs, witnessed } from './support.ts';

describe('the nodes of the equalizer', () => {
  let rig: Rig;
  /** It coordinates, and leads partitions as every node does. */
  let first: EqualizerNode;
  before(async () => {
    rig = await openRig();
    first = await rig.start(1);
    await rig.untilCoordinates(first);
    await rig.start(2);
  });
  after(async () => rig.remove());

  it('each chunk counts once though leaders die within it or after its answer (I4)', async (t) => {
    const witness = rig.file('kills');
    const grey = sample(rig, 'grey');
    const undisturbedMs = Math.min(
      await equalized(rig, rig.client(), grey),
      await equalized(rig, rig.client(), grey),
    );
    const victims = await Promise.all([
      rig.start(10, crashAt('equalizer.mid-chunk', witness, 2)),
      rig.start(11, crashAt('equalizer.after-answer', witness, 2)),
    ]);
    for (const victim of victims) await rig.untilLeads(victim);
    const tookMs = await equalized(rig, rig.client(), grey);
    assert.deepEqual(witnessed(witness).toSorted(), ['equalizer.after-answer', 'equalizer.mid-chunk']);
    for (const { ended } of victims) await ended;
    t.diagnostic(`added by two deaths: ${Math.round(tookMs - undisturbedMs)} ms`);
  });

  it('a leader paused within a chunk changes nothing when it wakes after the job', async () => {
    const witness = rig.file('pause');
    const sleeper = await rig.start(12, crashAt('equalizer.mid-chunk', witness, 1, 'stop'));
    await rig.untilLeads(sleeper);
    const client = rig.client(first);
    const colour = sample(rig, 'rgb-16');
    const { over } = await submit(client, colour);
    await untilHit(witness, 'equalizer.mid-chunk');
    const { last } = await over;
    await assertIdentical(rig, client, last, colour);
    const left = filesOf(rig, last.id);
    assert.equal(left.length, 1, left.join(', '));
    sleeper.child.kill('SIGCONT');
    await until({ what: 'it to notice that its partitions are gone', timeoutMs: waitMs }, async () =>
      sleeper.log().includes('"event":"partition.lost"'),
    );
    await rig.untilLeads(sleeper);
    assert.deepEqual(await client.read(last.id), last);
    assert.deepEqual(filesOf(rig, last.id), left);
    await equalized(rig, client, colour);
    await rig.stop(sleeper);
  });

  it('a job cancelled within a paused chunk leaves no file, also when the node wakes', async () => {
    const witness = rig.file('cancel');
    const sleeper = await rig.start(13, crashAt('equalizer.mid-chunk', witness, 1, 'stop'));
    await rig.untilLeads(sleeper);
    const client = rig.client(first);
    const { id, over } = await submit(client, sample(rig, 'rgb'));
    await untilHit(witness, 'equalizer.mid-chunk');
    await client.cancel(id);
    const { last } = await over;
    assert.equal(last.phase, 'cancelled');
    await assert.rejects(client.download(id, rig.file('none')), { status: 410 });
    const gone = async () => filesOf(rig, id).length === 0;
    await until({ what: 'its files to be removed', timeoutMs: waitMs }, gone);
    sleeper.child.kill('SIGCONT');
    // Each partition is served in order: when the next job is over, the cancelled chunk is over
    // too.
    await equalized(rig, client, sample(rig, 'web'));
    assert.deepEqual(filesOf(rig, id), []);
    assert.equal((await client.read(id)).phase, 'cancelled');
    await rig.stop(sleeper);
  });

  it('a task or a result that is delivered twice counts once', async () => {
    const log = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: () => undefined,
    };
    const settings = { brokers: rig.servers.brokers.split(','), clientId: 'echo' };
    const kafka = openKafka({ settings, log });
    const failed: unknown[] = [];
    const echo = (topic: string) => {
      const seen = new Set<string>();
      const handle = async ({ partition, value }: IncomingRecord) => {
        const text = `${partition} ${value?.toString() ?? ''}`;
        // The reader also receives its own echo.
        if (value === null || seen.has(text)) return;
        seen.add(text);
        await kafka.producer.send(topic, partition, { key: null, value });
      };
      const reader = kafka.reader({ topic, handle, onFailed: (_, error) => failed.push(error) });
      return { topic, reader };
    };
    const echoes = ['tasks', 'results'].map((what) => echo(`${rig.topicPrefix}.${what}`));
    try {
      for (const { topic, reader } of echoes) {
        for (const { partition, end } of await kafka.admin.ranges(topic)) reader.lead(partition, end);
        reader.start();
      }
      await until({ what: 'the echoes to read', timeoutMs: waitMs }, async () =>
        echoes.every(({ reader }) => reader.isReading()),
      );
      const sum = async (name: string) =>
        (await Promise.all(rig.nodes().map(async (node) => node.metric(name)))).reduce((a, b) => a + b, 0);
      const before = {
        refused: await sum('equalizer_refusals_total'),
        skipped: await sum('equalizer_tasks_skipped_total'),
      };
      await equalized(rig, rig.client(), sample(rig, 'photograph'));
      await equalized(rig, rig.client(), sample(rig, 'rgb-tiled'));
      await until({ what: 'second deliveries to be refused and skipped', timeoutMs: waitMs }, async () => {
        const refused = (await sum('equalizer_refusals_total')) > before.refused;
        return refused && (await sum('equalizer_tasks_skipped_total')) > before.skipped;
      });
      assert.deepEqual(failed, []);
    } finally {
      await kafka.close();
    }
  });

  it('twenty jobs at once finish with equal images though a node is killed (I5)', async () => {
    const victim = await rig.start(14);
    await rig.untilLeads(victim);
    const client = rig.client(first);
    const wanted = Array.from({ length: 20 }, (_, index) => rig.samples[index % rig.samples.length]!);
    const jobs = await Promise.all(wanted.map(async (each) => ({ each, ...(await submit(client, each)) })));
    assert.equal(new Set(jobs.map(({ id }) => id)).size, jobs.length);
    await jobs[0]!.over;
    victim.child.kill('SIGKILL');
    for (const { each, over } of jobs) await assertIdentical(rig, client, (await over).last, each);
    const listed = new Set((await client.list()).map(({ id }) => id));
    assert.ok(jobs.every(({ id }) => listed.has(id)));
  });
});
