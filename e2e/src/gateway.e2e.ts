import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { drainClientId, drainFilter } from '@thermomesh/contracts';
import { until } from '@thermomesh/mesh/testing';
import type { CrashPoint } from '@thermomesh/runtime';
import mqtt from 'mqtt';
import {
  assertIntact,
  assertKept,
  connectDevice,
  crashAt,
  publish,
  reading,
  untilHit,
  waitMs,
  withMesh,
} from './support.ts';

const hazards: [hazard: string, point: CrashPoint, nth: number][] = [
  ['a gateway killed before its group commit', 'gateway.before-commit', 20],
  ['a gateway killed between fsync and PUBACK', 'gateway.after-commit', 20],
  ['a gateway killed between PUBACK and delivery', 'gateway.before-delivery', 20],
  ['a gateway killed before it removes acked messages', 'gateway.before-removal', 10],
];

const witnesses = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-e2e-'));
after(() => rmSync(witnesses, { recursive: true }));

describe('the gateway', () => {
  for (const [hazard, point, nth] of hazards) {
    it(`${hazard} stores each acked reading once`, async () => {
      const witness = path.join(witnesses, point);
      await withMesh({ nodes: 1, env: { gateway: crashAt(point, witness, nth) } }, async (mesh) => {
        const load = mesh.startLoad({ devices: 30, rate: 600, seconds: 4 });
        await untilHit(witness, point);
        const { document } = await mesh.judgeLoad(load);
        assert.ok(document.acked > 0 && document.acked === document.sent, JSON.stringify(document));
        assertIntact(document);
        assertKept(await mesh.verify());
      });
    });
  }

  it('a full buffer stops the PUBACKs, drops no reading and recovers by itself', async () => {
    const environment = { BUFFER_MESSAGES_MAX: '300', COMMIT_LINGER_MS: '1' };
    await withMesh({ nodes: 1, environment }, async (mesh) => {
      mesh.hold('node-1');
      await mesh.kill('node-1');
      const load = mesh.startLoad({ devices: 20, rate: 500, seconds: 3 });
      // The state is also full while the last batch is being committed, so wait for the count too.
      const full = await until({ what: 'the buffer to be full', timeoutMs: waitMs }, async () => {
        const broker = await mesh.broker();
        return broker.store.state === 'full' && broker.counters.buffered >= 300 ? broker : undefined;
      });
      assert.equal(full.counters.buffered, 300);
      const readiness = await fetch(`${mesh.httpUrl}/readyz`);
      assert.equal(readiness.status, 503);
      mesh.release('node-1');
      const { document } = await mesh.judgeLoad(load);
      assert.equal(document.acked, document.sent);
      assertIntact(document);
      assert.equal((await mesh.broker()).store.state, 'ok');
      assertKept(await mesh.verify());
    });
  });

  it('a clean CONNECT on the drain session is refused and erases nothing', async () => {
    await withMesh({ nodes: 1 }, async (mesh) => {
      mesh.hold('node-1');
      await mesh.kill('node-1');
      const device = await connectDevice(mesh, 'd1');
      for (let seq = 0; seq < 10; seq++) await publish(device, 'd1', reading('d1', seq));
      for (const [username, password] of [
        ['node/1', mesh.deviceToken('d1')],
        ['d1', mesh.deviceToken('d1')],
      ] as const) {
        for (const clean of [true, false]) {
          const intruder = mqtt.connectAsync(
            mesh.mqttUrl,
            { clientId: drainClientId, username, password, clean, reconnectPeriod: 0 },
            false,
          );
          await assert.rejects(intruder);
        }
      }
      const thief = await connectDevice(mesh, 'd2');
      await assert.rejects(thief.subscribeAsync(drainFilter, { qos: 1 }));
      assert.equal((await mesh.broker()).counters.buffered, 10);
      mesh.release('node-1');
      await mesh.drained();
      const [row] = await mesh.sql.query<{ n: number }>('SELECT count(*)::int AS n FROM readings');
      assert.equal(row?.n, 10);
      await Promise.all([device.endAsync(), thief.endAsync(true)]);
    });
  });
});
