/**
 * No node drains for a long time, and meanwhile the gateway dies three times and the database once.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until, type MeshHandle } from '@thermomesh/mesh/testing';
import { assertIntact, assertKept, waitMs, withMesh } from './support.ts';

/** A minute, unless the variable says otherwise: the promise is kept for five. */
const outageSeconds = Number(process.env['OUTAGE_SECONDS'] ?? 60);
/** Everything besides the outage: the mesh starts, drains and is judged. */
const restSeconds = 340;
const load = { devices: 50, rate: 500 };
/** The load ends when the test ends it. */
const loadSecondsMax = 3_600;
/** While the gateway starts again, devices cannot publish, so not all of the rate is reached. */
const ackedShareMin = 0.7;
const nodes = [1, 2, 3, 4, 5].map((node) => `node-${node}`);

/** What dies, and at which share of the outage. */
const deaths: readonly (readonly [share: number, name: 'gateway' | 'postgres'])[] = [
  [0.2, 'gateway'],
  [0.4, 'postgres'],
  [0.6, 'gateway'],
  [0.8, 'gateway'],
];

const batchesSql = 'SELECT count(*)::int AS batches, coalesce(max(id), 0)::int AS last FROM drain_batches';
const batchesOf = async (mesh: MeshHandle) =>
  until({ what: 'an answer of PostgreSQL', timeoutMs: waitMs }, async () => {
    const rows = await mesh.sql.query<{ batches: number; last: number }>(batchesSql).catch(() => []);
    return rows[0];
  });

async function untilTime(what: string, atMs: number): Promise<void> {
  const timeoutMs = Math.max(0, atMs - Date.now()) + waitMs;
  await until({ what, timeoutMs }, async () => Date.now() >= atMs);
}

/** Kills the process and waits until the gateway accepts readings. @returns how long that took */
async function killAndRecover(mesh: MeshHandle, name: string): Promise<number> {
  const killed = await mesh.kill(name);
  const atMs = Date.now();
  await until({ what: `another ${name}`, timeoutMs: waitMs }, async () => {
    const { pid, startTime } = await mesh.process(name);
    return pid !== killed.pid || startTime !== killed.startTime;
  });
  const { buffered } = (await mesh.broker()).counters;
  await until({ what: 'readings to be accepted', timeoutMs: waitMs }, async () => {
    return (await mesh.broker()).counters.buffered > buffered;
  });
  return Date.now() - atMs;
}

describe('a long outage', () => {
  const what = `${outageSeconds} s without a coordinator`;
  const timeout = (outageSeconds + restSeconds) * 1_000;
  it(`${what}, gateway and database killed, lose no acked reading`, { timeout }, async (t) => {
    await withMesh({}, async (mesh) => {
      await mesh.settled();
      const running = mesh.startLoad({ ...load, seconds: loadSecondsMax });
      await running.sending;
      await until({ what: 'batches to flow', timeoutMs: waitMs }, async () => {
        return (await batchesOf(mesh)).batches > 5;
      });
      for (const node of nodes) mesh.hold(node);
      await Promise.all(nodes.map(async (node) => mesh.kill(node)));
      const begunAtMs = Date.now();
      const before = await batchesOf(mesh);
      const acceptedBefore = (await mesh.broker()).counters.accepted;
      const recoveriesMs: number[] = [];
      for (const [share, name] of deaths) {
        await untilTime(`the death of ${name}`, begunAtMs + share * outageSeconds * 1_000);
        recoveriesMs.push(await killAndRecover(mesh, name));
      }
      await untilTime('the end of the outage', begunAtMs + outageSeconds * 1_000);

      const { counters } = await mesh.broker();
      const acked = counters.accepted - acceptedBefore;
      assert.ok(acked >= ackedShareMin * load.rate * outageSeconds, `only ${acked} readings were acked`);
      assert.ok(counters.buffered >= acked, `${counters.buffered} of ${acked} are buffered`);
      assert.deepEqual(await batchesOf(mesh), before, 'a batch was committed without a coordinator');

      const backAtMs = Date.now();
      for (const node of nodes) mesh.release(node);
      await mesh.drained(2 * waitMs);
      const drainedMs = Date.now() - backAtMs;
      running.finish();
      const { document } = await mesh.judgeLoad(running);
      assert.equal(document.acked, document.sent);
      assert.equal(document.stored, document.sent);
      assertIntact(document);
      assertKept(await mesh.verify());
      t.diagnostic(
        `${acked} readings acked in ${outageSeconds} s; accepting again ${recoveriesMs.join(', ')} ms after ` +
          `the deaths of ${deaths.map(([, name]) => name).join(', ')}; drained ${drainedMs} ms after the ` +
          `nodes were released; ${document.sent} sent, acked and stored once`,
      );
    });
  });
});
