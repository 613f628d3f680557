/**
 * A node that leads every partition and coordinates equalizes large TIFFs, while telemetry passes
 * through the same machine: no path blocks its event loop, costs it a session, or delays PUBACKs.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { ImageJob } from '@thermomesh/contracts';
import { startMesh, until, type MeshHandle } from '@thermomesh/mesh/testing';
import { largeTiffs, type LargeTiff } from './large-tiffs.ts';
import { assertIntact, waitMs } from './support.ts';

const imageBytes = 75_000_000;
const name = 'equalizer-1';
const load = { devices: 20, rate: 200, seconds: 600 };
/** Readings that must have been acknowledged meanwhile, so that their latency means something. */
const ackedMin = 1_000;
/**
 * A loop that is blocked for two thirds of the default session timeout (1.5 s) loses its roles. The
 * machine of the test may be slow; work on pixels in the loop would take seconds.
 */
const lagMsMax = 1_000;
/** Generous: a PUBACK waits for the disk, which the images use too. */
const pubackMsMax = 5_000;
const jobMsMax = 120_000;

/** The highest event-loop lag that the node has reported, in milliseconds. */
interface Lag {
  p99: number;
  max: number;
  samples: number;
}

describe('large images beside telemetry', () => {
  let mesh: MeshHandle;
  let url: string;
  before(async () => {
    // A long session: a machine that stalls for a second must not look like a node that blocks.
    mesh = await startMesh({ nodes: 1, equalizers: 1, env: { [name]: { SESSION_TIMEOUT_MS: '10000' } } });
    const { processes } = await mesh.status();
    url = processes.find((process) => process.name === name)?.url ?? '';
  });
  after(async () => mesh.remove());

  it('no TIFF of 75 MB blocks the loop, costs a session or delays PUBACKs', async (t) => {
    await until({ what: 'the node to coordinate and lead', timeoutMs: waitMs }, async () => {
      const now = await metricsOf(url);
      return now('equalizer_coordinator') === 1 && now('equalizer_leading_partitions') > 0;
    });
    const before = await metricsOf(url);
    const logged = readFileSync(mesh.logFile(name)).length;
    const running = mesh.startLoad(load);
    await running.sending;
    for (const tiff of largeTiffs(imageBytes)) {
      const { lag, tookMs } = await watched(url, async () => equalize(mesh, tiff));
      t.diagnostic(
        `${tiff.name}: ${(tookMs / 1_000).toFixed(1)} s, lag p99 ${lag.p99.toFixed(0)} ms, max ${lag.max.toFixed(0)} ms`,
      );
      assert.ok(lag.samples > 0, 'the lag was not seen');
      assert.ok(lag.p99 < lagMsMax, `${tiff.name}: the event loop was ${lag.p99} ms late`);
    }
    running.finish();
    const { document } = await mesh.judgeLoad(running);
    assertIntact(document);
    t.diagnostic(
      `PUBACK p50 ${document.ackMs.p50} ms, p99 ${document.ackMs.p99} ms, ${document.acked} readings`,
    );
    assert.ok(document.acked >= ackedMin, `only ${document.acked} readings were acknowledged`);
    assert.ok((document.ackMs.p99 ?? Infinity) < pubackMsMax, `PUBACKs took ${document.ackMs.p99} ms`);
    const now = await metricsOf(url);
    for (const metric of ['equalizer_coordinator_epoch', 'equalizer_leading_partitions'])
      assert.equal(now(metric), before(metric), `${metric} has changed`);
    const log = readFileSync(mesh.logFile(name)).subarray(logged).toString();
    assert.doesNotMatch(log, /"phase":"(suspended|lost)"/, 'the session of ZooKeeper was interrupted');
    assert.doesNotMatch(log, /kafka\.(reader_lost|produce_retried)/, 'a session of Kafka was lost');
  });
});

/** Uploads the image, and waits until its job is finished. */
async function equalize(mesh: MeshHandle, { name: what, make }: LargeTiff): Promise<void> {
  const headers = { authorization: `Bearer ${mesh.operatorToken}` };
  const body = new FormData();
  body.set('file', new Blob([new Uint8Array(make())]), 'large.tif');
  const answer = await fetch(`${mesh.httpUrl}/v1/jobs`, { method: 'POST', headers, body });
  assert.equal(answer.status, 201, `${what}: ${await answer.clone().text()}`);
  const { id } = (await answer.json()) as ImageJob;
  let job: ImageJob | undefined;
  await until({ what: `${what} to be finished`, timeoutMs: jobMsMax }, async () => {
    job = (await (await fetch(`${mesh.httpUrl}/v1/jobs/${id}`, { headers })).json()) as ImageJob;
    return ['finished', 'failed', 'cancelled'].includes(job.phase);
  });
  assert.equal(job?.phase, 'finished', `${what}: ${job?.reason}`);
}

/** Runs `work`, and reads the lag of the node each half second meanwhile. */
async function watched(url: string, work: () => Promise<void>): Promise<{ lag: Lag; tookMs: number }> {
  const lag: Lag = { p99: 0, max: 0, samples: 0 };
  const look = async () => {
    const now = await metricsOf(url);
    lag.p99 = Math.max(lag.p99, now('equalizer_event_loop_lag_ms', '0.99'));
    lag.max = Math.max(lag.max, now('equalizer_event_loop_lag_ms', '1'));
    lag.samples += 1;
  };
  const startedAtMs = performance.now();
  let looking = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(look);
  }, 500);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  await looking;
  return { lag, tookMs: performance.now() - startedAtMs };
}

/** Reads the metrics of the node. The function that it returns takes a name and a quantile. */
async function metricsOf(url: string): Promise<(metric: string, quantile?: string) => number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return (metric, quantile) => {
    const label = quantile === undefined ? '' : `[^}]*quantile="${quantile}"[^}]*`;
    const pattern = new RegExp(`^thermomesh_${metric}(?:\\{${label}[^}]*\\})? ([-+.e\\d]+)$`, 'm');
    return Number(pattern.exec(text)?.[1] ?? NaN);
  };
}
