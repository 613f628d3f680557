import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '@thermomesh/mesh/testing';
import type { CrashPoint } from '@thermomesh/runtime';
import {
  assertIdentical,
  equalized,
  openRig,
  sample,
  submit,
  type EqualizerNode,
  type Rig,
} from './equalizer-support.ts';
import { crashAt, untilHit, waitMs, witnessed } from './support.ts';

/**
 * One job meets all these deaths, in this order. A new coordinator stores "queued", then
 * "decoding". Each successor first stores the phase that it finds, under its own epoch.
 */
const deaths: readonly (readonly [point: CrashPoint, nth: number, when: string])[] = [
  ['equalizer.after-store', 2, 'the phase decoding is stored, and decoding has not begun'],
  ['equalizer.after-store', 2, 'the plan is stored, and no task is sent yet'],
  ['equalizer.before-produce', 3, 'between two tasks of the map phase'],
  ['equalizer.after-store', 2, 'the table is stored, and no chunk is applied'],
  ['equalizer.before-produce', 2, 'between two tasks of the apply phase'],
  ['equalizer.before-stitched', 1, 'the image is written, and the job does not record it yet'],
  ['equalizer.after-store', 2, 'the job is finished, and no follower has received that'],
];

describe('the coordinator of the equalizer', () => {
  let rig: Rig;
  let survivor: EqualizerNode;
  before(async () => {
    rig = await openRig();
  });
  after(async () => rig.remove());

  it('a job outlives a coordinator killed in each phase; its image is equal (I4, I5)', async () => {
    const witness = rig.file('deaths');
    let first: EqualizerNode | undefined;
    for (const [index, [point, nth]] of deaths.entries()) {
      const node = await rig.start(index + 1, crashAt(point, witness, nth));
      first ??= node;
      // The first node in the queue coordinates first.
      await until({ what: `${node.name} to be a candidate`, timeoutMs: waitMs }, async () =>
        (await rig.queue()).includes(node.name),
      );
    }
    survivor = await rig.start(deaths.length + 1);
    const client = rig.client(first);
    const colour = sample(rig, 'rgb');
    const { id, over } = await submit(client, colour);
    const { last, phases } = await over;
    assert.equal(last.id, id);
    assert.deepEqual(
      witnessed(witness),
      deaths.map(([point]) => point),
    );
    assert.deepEqual(rig.nodes(), [survivor]);
    // Followers never see the phase go back, whichever node sends the events.
    const order = ['queued', 'decoding', 'mapping', 'reducing', 'applying', 'stitching', 'finished'];
    assert.deepEqual(
      phases,
      phases.toSorted((a, b) => order.indexOf(a) - order.indexOf(b)),
    );
    await assertIdentical(rig, client, last, colour);
  });

  it('an equalizer’s coordinator that wakes after its job is over changes nothing', async (t) => {
    const witness = rig.file('pause');
    const sleeper = await rig.start(20, crashAt('equalizer.before-produce', witness, 3, 'stop'));
    await until({ what: 'it to be a candidate', timeoutMs: waitMs }, async () =>
      (await rig.queue()).includes(sleeper.name),
    );
    const successor = await rig.start(21);
    await rig.stop(survivor);
    await rig.untilCoordinates(sleeper);
    const client = rig.client(successor);
    const alpha = sample(rig, 'rgb-alpha');
    const { over } = await submit(client, alpha);
    await untilHit(witness, 'equalizer.before-produce');
    const { last } = await over;
    await assertIdentical(rig, client, last, alpha);
    assert.ok(successor.log().includes('"event":"coordinator.recovered"'));
    sleeper.child.kill('SIGCONT');
    await until({ what: 'the former coordinator to end its term', timeoutMs: waitMs }, async () =>
      /"event":"coordinator\.ended".*"end":"(stopped|deposed)"/.test(sleeper.log()),
    );
    const now = await client.read(last.id);
    assert.deepEqual(now, last);
    await assertIdentical(rig, client, now, alpha);
    // Both nodes continue: one coordinates, both lead partitions.
    await rig.untilLeads(sleeper);
    t.diagnostic(`the next job took ${Math.round(await equalized(rig, client, sample(rig, 'grey-16')))} ms`);
  });
});
