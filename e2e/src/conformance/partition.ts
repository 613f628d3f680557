/** What a cut of links may cost, and what it must not: the same promises whatever elects the coordinator. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ChaosDocument } from '@thermomesh/contracts';
import {
  parsePartition,
  parseSelectors,
  startMesh,
  until,
  type CutBlow,
  type MeshHandle,
} from '@thermomesh/mesh';
import { tellFailures, waitMs, withMesh, type Election } from '../support.ts';

/** A cut of real links, which proxies of their own hold: no process is told that it is a test. */
export function cutOf(
  options: Partial<CutBlow> & { sides?: string; links?: string; slowLinks?: string },
): CutBlow {
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
type Case = readonly [hazard: string, cut: CutBlow];

/** Over these links Bully elects; who elects elsewhere must not care. */
const betweenNodes: Case[] = [
  ['{1,2} from {3,4,5}', cutOf({ sides: '1,2/3,4,5' })],
  ['{1,2} from {3,4,5} in silence', cutOf({ sides: '1,2/3,4,5', silent: true })],
  ['the coordinator alone from all its peers', cutOf({ links: 'coordinator:nodes' })],
  ['everybody from everybody', cutOf({ links: 'every:nodes' })],
  ['one way: nobody hears the coordinator', cutOf({ links: 'coordinator:nodes', oneWay: 'out' })],
  ['one way: the coordinator hears nobody', cutOf({ links: 'coordinator:nodes', oneWay: 'in' })],
];
const slowLinks = 'every:nodes,every:gateway,every:postgres';
const late: Case = [
  'late and narrow links between everybody',
  cutOf({ slowLinks, delayMs: 20, bytesPerSecond: 200_000 }),
];

/** From what the coordinator cannot do its work without: it yields. */
const fromItsEnds: Case[] = [
  ['the coordinator alone from PostgreSQL', cutOf({ links: 'coordinator:postgres' })],
  [
    'the coordinator alone from PostgreSQL, in silence',
    cutOf({ links: 'coordinator:postgres', silent: true, pauseMs: silentMs }),
  ],
  ['the coordinator alone from the gateway', cutOf({ links: 'coordinator:gateway' })],
  [
    'the coordinator alone from the gateway, in silence',
    cutOf({ links: 'coordinator:gateway', silent: true, pauseMs: silentMs }),
  ],
  [
    'the coordinator from its peers and the gateway, but not from PostgreSQL',
    cutOf({ links: 'coordinator:nodes,coordinator:gateway' }),
  ],
  [
    'the coordinator from everything at once',
    cutOf({ links: 'coordinator:nodes,coordinator:gateway,coordinator:postgres' }),
  ],
  [
    'one way: PostgreSQL hears the coordinator, whose answers never come',
    cutOf({ links: 'coordinator:postgres', oneWay: 'in', pauseMs: silentMs }),
  ],
  [
    'one way: the coordinator hears the gateway, which never hears of a commit',
    cutOf({ links: 'coordinator:gateway', oneWay: 'out', pauseMs: silentMs }),
  ],
];

/** From what it is elected with. */
const fromZooKeeper: Case[] = [
  ['the coordinator alone from ZooKeeper', cutOf({ links: 'coordinator:zookeeper' })],
  [
    'the coordinator alone from ZooKeeper, in silence',
    cutOf({ links: 'coordinator:zookeeper', silent: true }),
  ],
  [
    'one way: ZooKeeper hears the coordinator, whose answers never come',
    cutOf({ links: 'coordinator:zookeeper', oneWay: 'in' }),
  ],
  [
    'the coordinator from ZooKeeper and PostgreSQL at once',
    cutOf({ links: 'coordinator:zookeeper,coordinator:postgres' }),
  ],
];

/** An orderly release may take longer than any cut lasts: a coordinator that waited for one without PostgreSQL would be seen. */
const patience = {
  PREEMPT_HOLD_MS: '2500',
  RELEASE_TIMEOUT_MS: '20000',
  HANDOVER_TIMEOUT_MS: '25000',
  STOP_TIMEOUT_MS: '25000',
};
const load = { devices: 20, rate: 300 };
const rules = ['one-side-drains', 'drain-goes-on', 'one-epoch-per-cut', 'one-epoch-per-heal'];

function assertKept(document: ChaosDocument): void {
  assert.ok(document.ok, JSON.stringify(document, undefined, 1));
  assert.deepEqual([document.lost, document.duplicated, document.corrupted], [0, 0, 0]);
  assert.deepEqual(
    document.rules.map(({ id, ok }) => [id, ok]),
    rules.map((id) => [id, true]),
  );
}

/** The suite of one election: one mesh, one cut after another. */
export function describePartitions(election: Election): void {
  describe(`a cut, under ${election}`, () => {
    let mesh: MeshHandle;
    before(async () => {
      mesh = await startMesh({ election, proxied: true, environment: patience });
    });
    after(() => mesh.remove());
    tellFailures(() => mesh);

    // Bully hears of a silent link by its own clocks; what the queue needs is over sooner.
    const pauseMsMax = election === 'bully' ? silentMs : 6_000;
    const play = async (cut: CutBlow) =>
      mesh.chaos({ target: 'links', cut: { ...cut, pauseMs: Math.min(cut.pauseMs, pauseMsMax) }, load });
    const promise = 'exactly one side drains, at most one epoch for the cut and one for the heal';

    if (election === 'bully') {
      for (const [hazard, cut] of [...betweenNodes, late]) {
        it(`${hazard}: ${promise}`, async () => {
          const before = await mesh.settled();
          assertKept(await play(cut));
          assert.equal((await mesh.coordinator()).node, before.node);
        });
      }
    } else {
      it(`links between the nodes, cut in all ways, and late ones: nobody moves, and nothing is lost`, async () => {
        const before = await mesh.settled();
        const steps = betweenNodes.map(([, cut]) => ({ atMs: 0, blow: { ...cut, pauseMs: 1_500 } }));
        const slow = { ...late[1], slow: parseSelectors(`${slowLinks},every:zookeeper`) };
        const document = await mesh.chaos({
          target: 'schedule',
          steps: [...steps, { atMs: 0, blow: slow }],
          load,
        });
        assertKept(document);
        assert.deepEqual(await mesh.settled(), before);
      });
    }

    for (const [hazard, cut] of [...fromItsEnds, ...(election === 'zookeeper' ? fromZooKeeper : [])]) {
      it(`${hazard}: it yields; ${promise}`, async () => {
        const before = await mesh.settled();
        assertKept(await play(cut));
        await assertYielded(mesh, election, before);
      });
    }

    if (election === 'zookeeper') {
      it('everybody from ZooKeeper: nobody drains, the backlog waits, and one of them goes on after the heal', async () => {
        const before = await mesh.settled();
        assertKept(await play(cutOf({ links: 'every:zookeeper', silent: true, pauseMs: 4_000 })));
        const settled = await mesh.settled();
        assert.equal(settled.epoch, before.epoch + 1);
      });
      return;
    }
    it('breaks-a-promise: the verdict names the reading; timeline, logs and ledger tell how it came', async () => {
      await assertVerdictOfALoss(mesh);
    });
  });

  describe(`after all others have died, under ${election}`, () => {
    it('one surviving node still drains', async () => {
      await withMesh({ election, nodes: 3 }, async (mesh) => {
        const load = mesh.startLoad({ devices: 20, rate: 300, seconds: 5 });
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
}

/** Somebody else has led; the deposed has written nothing after that; under Bully the highest node has its title back. */
async function assertYielded(
  mesh: MeshHandle,
  election: Election,
  before: { node: number; epoch: number },
): Promise<void> {
  const settled = await mesh.coordinator();
  if (election === 'bully') {
    assert.deepEqual(settled, { node: before.node, epoch: before.epoch + 2 });
  } else {
    assert.equal(settled.epoch, before.epoch + 1);
    assert.notEqual(settled.node, before.node);
  }
  const sql = `SELECT (SELECT max(id) FROM drain_batches WHERE epoch = $1) AS last,
    (SELECT min(id) FROM drain_batches WHERE epoch > $1) AS first`;
  const [row] = await mesh.sql.query<{ last: number; first: number }>(sql, [before.epoch]);
  assert.ok(row !== undefined && Number(row.last) < Number(row.first), JSON.stringify(row));
}

async function assertVerdictOfALoss(mesh: MeshHandle): Promise<void> {
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
  const events = lines.map((line) => (JSON.parse(line) as { event: string }).event);
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
}
