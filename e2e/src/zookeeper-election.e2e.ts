import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { parseSchedule, startMesh, until, type MeshHandle } from '@thermomesh/mesh/testing';
import type { ChaosDocument } from '@thermomesh/contracts';
import { assertIntact, assertKept, waitMs } from './support.ts';

/**
 * The coordinator is killed, is frozen for longer than its session or lease lasts, and is stopped
 * gracefully, each under load.
 */
const faults = parseSchedule(
  JSON.stringify([
    { atMs: 0, target: 'coordinator', signal: 'KILL' },
    { atMs: 0, target: 'coordinator', signal: 'KILL' },
    { atMs: 0, target: 'coordinator', signal: 'STOP', pauseMs: 6_000 },
    { atMs: 0, target: 'coordinator', signal: 'TERM' },
  ]),
);
const load = { devices: 20, rate: 300 };

function assertWhole(document: ChaosDocument, rounds: number): void {
  assert.ok(document.ok, JSON.stringify(document, undefined, 1));
  assert.equal(document.rounds, rounds);
  assertIntact(document);
}

for (const election of ['zookeeper', 'bully'] as const) {
  describe(`the coordinator, elected by ${election}`, () => {
    let mesh: MeshHandle;
    before(async () => {
      mesh = await startMesh({ nodes: 3, election });
    });
    after(async () => mesh.remove());

    it('a killed, frozen or stopped coordinator is replaced, and no reading is lost', async (t) => {
      const document = await mesh.chaos({ target: 'schedule', steps: faults, load });
      assertWhole(document, faults.length);
      assert.equal(document.failoverMs?.n, 3);
      assert.equal(document.handOverMs?.n, 1);
      assert.deepEqual(
        document.rules.map(({ id, ok }) => [id, ok]),
        [['hand-over-redelivers-nothing', true]],
      );
      const ms = (value: number | null | undefined) => `${Math.round(value ?? NaN)} ms`;
      const { failoverMs, handOverMs } = document;
      t.diagnostic(
        `${election}: failover p50 ${ms(failoverMs?.p50)}, max ${ms(failoverMs?.max)}; hand-over ${ms(handOverMs?.max)}`,
      );
    });

    if (election === 'bully') return;

    it('the drain continues after ZooKeeper was killed and frozen under load', async () => {
      const steps = parseSchedule(
        JSON.stringify([
          { atMs: 0, target: 'zookeeper', signal: 'KILL' },
          { atMs: 0, target: 'zookeeper', signal: 'STOP', pauseMs: 4_000 },
        ]),
      );
      assertWhole(await mesh.chaos({ target: 'schedule', steps, load }), steps.length);
    });

    it('without ZooKeeper no node coordinates, no reading is lost; a start reports it', async () => {
      const { epoch } = await mesh.coordinator();
      mesh.hold('zookeeper-1');
      await mesh.kill('zookeeper-1');
      const down = async (): Promise<boolean> => (await mesh.status()).coordinator === null;
      await until({ what: 'no node to coordinate', timeoutMs: waitMs }, down);
      await mesh.kill('node-1');
      const running = mesh.startLoad({ devices: 10, rate: 200, seconds: 2 });
      await running.finished;
      await until({ what: 'node 1 to report that ZooKeeper is unreachable', timeoutMs: waitMs }, async () =>
        /election\.source_unreachable.*has answered yet/.test(readFileSync(mesh.logFile('node-1'), 'utf8')),
      );
      const { counters } = await mesh.broker();
      assert.ok(counters.buffered >= 400, `${counters.buffered} buffered`);
      mesh.release('zookeeper-1');
      const { document } = await mesh.judgeLoad(running);
      assert.deepEqual([document.stored, document.lost, document.duplicated], [document.sent, 0, 0]);
      assert.ok((await mesh.coordinator(epoch)).epoch > epoch);
      assertKept(await mesh.verify());
    });
  });
}
