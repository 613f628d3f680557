/**
 * Cuts of links between processes. The promises are the same for both elections: exactly one side
 * drains, with at most one new epoch for the cut and one for the heal, and no reading is lost.
 */
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
  type CutFault,
  type MeshHandle,
} from '@thermomesh/mesh/testing';
import { assertIntact, tellFailures, waitMs, withMesh, type Election } from '../support.ts';

/** A cut of real links, made by proxies, so that the processes run as they do without a test. */
export function cutOf(
  options: Partial<CutFault> & { sides?: string; links?: string; slowLinks?: string },
): CutFault {
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
type Case = readonly [hazard: string, cut: CutFault];

/**
 * Cuts between the nodes. Bully elects over these links; ZooKeeper's election does not use them.
 */
const betweenNodes: Case[] = [
  ['a cut between {1,2} and {3,4,5}', cutOf({ sides: '1,2/3,4,5' })],
  ['a silent cut between {1,2} and {3,4,5}', cutOf({ sides: '1,2/3,4,5', silent: true })],
  ['a cut of the coordinator from all its peers', cutOf({ links: 'coordinator:nodes' })],
  ['a cut of every node from every other', cutOf({ links: 'every:nodes' })],
  [
    'a one-way cut after which no node hears the coordinator',
    cutOf({ links: 'coordinator:nodes', oneWay: 'out' }),
  ],
  [
    'a one-way cut after which the coordinator hears no node',
    cutOf({ links: 'coordinator:nodes', oneWay: 'in' }),
  ],
];
const slowLinks = 'every:nodes,every:gateway,every:postgres';
const late: Case = [
  'a mesh with only slow and narrow links',
  cutOf({ slowLinks, delayMs: 20, bytesPerSecond: 200_000 }),
];

/** Cuts of the coordinator from the servers that it needs, after which it yields. */
const fromItsEnds: Case[] = [
  ['a coordinator cut from PostgreSQL', cutOf({ links: 'coordinator:postgres' })],
  [
    'a coordinator silently cut from PostgreSQL',
    cutOf({ links: 'coordinator:postgres', silent: true, pauseMs: silentMs }),
  ],
  ['a coordinator cut from the gateway', cutOf({ links: 'coordinator:gateway' })],
  [
    'a coordinator silently cut from the gateway',
    cutOf({ links: 'coordinator:gateway', silent: true, pauseMs: silentMs }),
  ],
  // It still reaches PostgreSQL, where it could renew its lease while it drains nothing.
  [
    'a coordinator cut from its peers and the gateway',
    cutOf({ links: 'coordinator:nodes,coordinator:gateway' }),
  ],
  [
    'a coordinator cut from everything at once',
    cutOf({ links: 'coordinator:nodes,coordinator:gateway,coordinator:postgres' }),
  ],
  [
    'a coordinator that gets no answer from PostgreSQL',
    cutOf({ links: 'coordinator:postgres', oneWay: 'in', pauseMs: silentMs }),
  ],
  [
    'a coordinator that the gateway no longer hears',
    cutOf({ links: 'coordinator:gateway', oneWay: 'out', pauseMs: silentMs }),
  ],
];

/** Cuts of the coordinator from the ZooKeeper that elects it, after which it yields. */
const fromZooKeeper: Case[] = [
  ['a coordinator cut from ZooKeeper', cutOf({ links: 'coordinator:zookeeper' })],
  ['a coordinator silently cut from ZooKeeper', cutOf({ links: 'coordinator:zookeeper', silent: true })],
  [
    'a coordinator that gets no answer from ZooKeeper',
    cutOf({ links: 'coordinator:zookeeper', oneWay: 'in' }),
  ],
  [
    'a coordinator cut from ZooKeeper and PostgreSQL',
    cutOf({ links: 'coordinator:zookeeper,coordinator:postgres' }),
  ],
];

/**
 * Here a graceful release may take longer than any cut lasts. The test notices a coordinator that
 * waits for such a release without PostgreSQL.
 */
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
  assertIntact(document);
  assert.deepEqual(
    document.rules.map(({ id, ok }) => [id, ok]),
    rules.map((id) => [id, true]),
  );
}

/** The suite of one election: one mesh, one cut after another. */
export function describePartitions(election: Election): void {
  describe(`cuts under ${election}`, () => {
    let mesh: MeshHandle;
    before(async () => {
      mesh = await startMesh({ election, proxied: true, environment: patience });
    });
    after(() => mesh.remove());
    tellFailures(() => mesh);

    // Bully notices a silent link by its timeouts; ZooKeeper's election needs a shorter cut.
    const pauseMsMax = election === 'bully' ? silentMs : 6_000;
    const play = async (cut: CutFault) =>
      mesh.chaos({ target: 'links', cut: { ...cut, pauseMs: Math.min(cut.pauseMs, pauseMsMax) }, load });

    if (election === 'bully') {
      for (const [hazard, cut] of [...betweenNodes, late]) {
        it(`${hazard} leaves one side draining`, async () => {
          const before = await mesh.settled();
          assertKept(await play(cut));
          assert.equal((await mesh.coordinator()).node, before.node);
        });
      }
    } else {
      it('cut or slow links between nodes never move a coordinator of ZooKeeper', async () => {
        const before = await mesh.settled();
        const steps = betweenNodes.map(([, cut]) => ({ atMs: 0, fault: { ...cut, pauseMs: 1_500 } }));
        const slow = { ...late[1], slow: parseSelectors(`${slowLinks},every:zookeeper`) };
        const document = await mesh.chaos({
          target: 'schedule',
          steps: [...steps, { atMs: 0, fault: slow }],
          load,
        });
        assertKept(document);
        assert.deepEqual(await mesh.settled(), before);
      });
    }

    for (const [hazard, cut] of [...fromItsEnds, ...(election === 'zookeeper' ? fromZooKeeper : [])]) {
      it(`${hazard} yields, and one side drains`, async () => {
        const before = await mesh.settled();
        assertKept(await play(cut));
        await assertYielded(mesh, election, before);
      });
    }

    if (election === 'zookeeper') {
      it('with all nodes cut from ZooKeeper, the backlog waits; one drains after the heal', async () => {
        const before = await mesh.settled();
        assertKept(await play(cutOf({ links: 'every:zookeeper', silent: true, pauseMs: 4_000 })));
        const settled = await mesh.settled();
        assert.equal(settled.epoch, before.epoch + 1);
      });
      return;
    }
    it('a lost reading fails the verdict, which names it and keeps timeline and logs', async () => {
      await assertVerdictOfALoss(mesh);
    });
  });

  describe(`a single survivor under ${election}`, () => {
    it('one surviving node still drains', async () => {
      await withMesh({ election, nodes: 3 }, async (mesh) => {
        const load = mesh.startLoad({ devices: 20, rate: 300, seconds: 5 });
        await load.sending;
        for (const node of ['node-3', 'node-2']) {
          mesh.hold(node);
          await mesh.kill(node);
        }
        const { document } = await mesh.judgeLoad(load);
        assertIntact(document);
        assert.equal(document.stored, document.sent);
        assert.equal((await mesh.coordinator()).node, 1);
      });
    });
  });
}

/**
 * Asserts that another node has led, that the deposed coordinator has written nothing after that,
 * and that under Bully the highest node has its title back.
 */
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
  // The test deletes an acknowledged reading, as if it had never been stored.
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
