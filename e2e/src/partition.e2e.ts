import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  parsePartition,
  parseSelectors,
  startMesh,
  until,
  type CutBlow,
  type MeshHandle,
} from '@thermomesh/mesh';
import { waitMs, withMesh } from './support.ts';

/** A cut of real links, which proxies of their own hold: no process is told that it is a test. */
function cutOf(options: Partial<CutBlow> & { sides?: string; links?: string; slowLinks?: string }): CutBlow {
  const { sides, links, slowLinks, ...rest } = options;
  return {
    kind: 'links',
    partition: sides === undefined ? [] : parsePartition(sides),
    cut: links === undefined ? [] : parseSelectors(links),
    slow: slowLinks === undefined ? [] : parseSelectors(slowLinks),
    silent: false,
    delayMs: 0,
    bytesPerSecond: null,
    pauseMs: 6_000,
    ...rest,
  };
}

const silentMs = 10_000;
const cuts: [hazard: string, cut: CutBlow, moves: boolean][] = [
  ['{1,2} from {3,4,5}', cutOf({ sides: '1,2/3,4,5' }), false],
  ['{1,2} from {3,4,5} in silence', cutOf({ sides: '1,2/3,4,5', silent: true }), false],
  ['the coordinator alone from all its peers', cutOf({ links: 'coordinator:nodes' }), false],
  ['everybody from everybody', cutOf({ links: 'every:nodes' }), false],
  ['one way: nobody hears the coordinator', cutOf({ links: 'coordinator:nodes', oneWay: 'out' }), false],
  ['one way: the coordinator hears nobody', cutOf({ links: 'coordinator:nodes', oneWay: 'in' }), false],
  ['the coordinator alone from PostgreSQL', cutOf({ links: 'coordinator:postgres' }), true],
  [
    'the coordinator alone from PostgreSQL, in silence',
    cutOf({ links: 'coordinator:postgres', silent: true, pauseMs: silentMs }),
    true,
  ],
  ['the coordinator alone from the gateway', cutOf({ links: 'coordinator:gateway' }), true],
  [
    'the coordinator alone from the gateway, in silence',
    cutOf({ links: 'coordinator:gateway', silent: true, pauseMs: silentMs }),
    true,
  ],
  [
    'the coordinator from everything at once',
    cutOf({ links: 'coordinator:nodes,coordinator:gateway,coordinator:postgres' }),
    true,
  ],
  [
    'one way: PostgreSQL hears the coordinator, whose answers never come',
    cutOf({ links: 'coordinator:postgres', oneWay: 'in', pauseMs: silentMs }),
    true,
  ],
  [
    'one way: the coordinator hears the gateway, which never hears of a commit',
    cutOf({ links: 'coordinator:gateway', oneWay: 'out', pauseMs: silentMs }),
    true,
  ],
  [
    'late and narrow links between everybody',
    cutOf({ slowLinks: 'every:nodes,every:gateway,every:postgres', delayMs: 20, bytesPerSecond: 200_000 }),
    false,
  ],
];

/** An orderly release may take longer than any cut lasts: a coordinator that waited for one without PostgreSQL would be seen. */
const patience = {
  PREEMPT_HOLD_MS: '2500',
  RELEASE_TIMEOUT_MS: '20000',
  HANDOVER_TIMEOUT_MS: '25000',
  STOP_TIMEOUT_MS: '25000',
};

describe('a cut', () => {
  let mesh: MeshHandle;
  before(async () => {
    mesh = await startMesh({ proxied: true, environment: patience });
  });
  after(() => mesh.remove());

  for (const [hazard, cut, moves] of cuts) {
    it(`${hazard}: exactly one side drains, at most one epoch for the cut and one for the heal`, async () => {
      const before = await mesh.settled();
      const document = await mesh.chaos({ target: 'links', cut, load: { devices: 20, rate: 300 } });
      assert.ok(document.ok, JSON.stringify(document, undefined, 1));
      assert.deepEqual([document.lost, document.duplicated, document.corrupted], [0, 0, 0]);
      assert.deepEqual(
        document.rules.map(({ id }) => id),
        ['one-side-drains', 'drain-goes-on', 'one-epoch-per-cut', 'one-epoch-per-heal'],
      );
      const settled = await mesh.coordinator();
      assert.equal(settled.node, before.node);
      // A coordinator that alone cannot drain yields; it takes the title back after the heal.
      if (moves) assert.equal(settled.epoch, before.epoch + 2);
    });
  }

  it('breaks-a-promise: the verdict names the reading; timeline, logs and ledger tell how it came', async () => {
    const since = Date.now();
    const cut = cutOf({ links: 'coordinator:gateway' });
    const series = mesh.chaos({ target: 'links', cut, load: { devices: 5, rate: 50 } });
    // A reading that was acknowledged is taken away, as if it had never been stored.
    const gone = await until({ what: 'a stored reading', timeoutMs: waitMs }, async () => {
      const sql = `DELETE FROM readings WHERE (device_id, seq) IN (
        SELECT device_id, seq FROM readings WHERE committed_at > to_timestamp($1 / 1000.0) LIMIT 1) RETURNING device_id, seq`;
      return (await mesh.sql.query<{ device_id: string; seq: number }>(sql, [since]))[0];
    });
    const { ok, lost, invariants, folder } = await series;
    assert.deepEqual([ok, lost], [false, 1]);
    const verdict = invariants.find(({ id }) => id === 'I1');
    assert.equal(verdict?.ok, false);
    assert.ok(verdict?.detail.includes(`lost ${gone.device_id}/${gone.seq}`), verdict?.detail);
    assert.ok(folder !== null);
    const lines = readFileSync(path.join(folder, 'timeline.ndjson'), 'utf8').trim().split('\n');
    const told = lines.map((line) => JSON.parse(line) as { time: string; event: string });
    const events = told.map(({ event }) => event);
    const order = ['series.begun', 'links.cut', 'node.unfit', 'coordinator.epoch_taken', 'links.healed'];
    const places = order.map((event) => events.indexOf(event));
    assert.ok(
      places[0] !== -1 && places.every((place, index) => place >= (places[index - 1] ?? 0)),
      lines.join('\n'),
    );
    assert.ok(lines.at(-1)?.includes(`lost ${gone.device_id}/${gone.seq}`), lines.at(-1));
    assert.ok(readdirSync(folder).some((name) => name.endsWith('.ledger')));
    assert.ok(existsSync(path.join(folder, 'logs', 'node-5.log')));
    assert.ok(existsSync(path.join(folder, 'logs', 'links.log')));
  });
});

describe('after all others have died', () => {
  it('one surviving node still drains', async () => {
    await withMesh({ proxied: true, nodes: 3 }, async (mesh) => {
      const load = mesh.startLoad({ devices: 20, rate: 300, seconds: 6 });
      await load.sending;
      for (const node of ['node-3', 'node-2']) {
        mesh.hold(node);
        await mesh.kill(node);
      }
      const { document } = await mesh.judgeLoad(load);
      assert.deepEqual([document.lost, document.duplicated, document.corrupted], [0, 0, 0]);
      assert.equal(document.stored, document.sent);
      assert.equal((await mesh.coordinator()).node, 1);
    });
  });
});
