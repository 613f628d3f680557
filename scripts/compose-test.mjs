/**
 * The whole mesh in containers, for real: images built, brought up from the previous commit's, upgraded one service at a time under
 * load, hurt in every way, judged, and taken down without a trace. Runs on the pinned Node (`npm run test:compose`).
 *
 * Exit code 0: passed; 1: failed; 77: it did not run, because there is no container engine here and none can be started.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { ensureBaseImages } from '../tools/docker/base-images.mjs';
import { findEngine } from '../tools/docker/engine.mjs';
import { images } from '../tools/docker/images.mjs';
import { mountsBelow, processesWith } from '../tools/docker/leftovers.mjs';
import {
  checkContainers,
  checkImages,
  checkInside,
  checkRestart,
  weigh,
} from '../tools/docker/testing/demands.mjs';
import { watchDashboard } from '../tools/docker/testing/metrics.mjs';
import { createProject } from '../tools/docker/testing/project.mjs';
import { equalize, makeKey, makeSamples } from '../tools/docker/testing/traffic.mjs';
import { built, judged, previousSources, upgrade } from '../tools/docker/testing/upgrade.mjs';
import { root } from './install.mjs';

const notRunCode = 77;
const readings = ['--load', '--devices', '20', '--rate', '200'];
/** Image jobs beside them; each series first runs every kind undisturbed. */
const jobs = [...readings, '--jobs', '1'];

const startedAt = Date.now();
const say = (line) => console.log(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`);
const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(name, () => interrupted.abort(new Error(`interrupted by ${name}`)));
}
const { signal } = interrupted;

const engine = await findEngine(say);
if ('absent' in engine) {
  console.log(`the mesh in containers was NOT tested: ${engine.absent}`);
  process.exit(notRunCode);
}
say(engine.text);
/** Whatever the tools of this run write. With an engine of our own it ends with that, even after a kill -9. */
const home = engine.own
  ? path.join(engine.place.data, 'home')
  : mkdtempSync(path.join(os.tmpdir(), 'thermomesh-compose-'));
mkdirSync(home, { recursive: true, mode: 0o700 });
const name = `thermomesh-test-${randomBytes(3).toString('hex')}`;
const project = await createProject({ engine, name, home, signal, say });
const { compose, current, mesh } = project;
try {
  await test();
  say('passed');
} catch (error) {
  console.error(signal.aborted ? signal.reason.message : error);
  process.exitCode = 1;
  if (!signal.aborted) await project.showEnd().catch((fault) => console.error(fault.message));
} finally {
  await takeDown();
}

async function test() {
  const { pulled, made } = await ensureBaseImages(engine, say, { signal });
  say(
    `base images: ${pulled.length} pulled, ${made.length} made of Debian's packages, the others were there`,
  );
  await stage('docker compose up, with nothing there: builds and starts', async () =>
    compose({}, 'up', '--detach', '--quiet-pull'),
  );
  await stage('… until everything is ready', async () => project.untilReady());
  await stage('what is in the images', async () => checkImages(project));
  const previous = await beginWithPrevious();
  const key = await stage('a key is made inside', async () => makeKey(project));
  const samples = await makeSamples(project);
  await stage('a load, with nothing lost', async () =>
    judged(await mesh('load', '--devices', '20', '--rate', '200', '--seconds', '5')),
  );
  if (previous !== undefined)
    await stage(`rolling upgrade from ${previous.commit} under load`, async () =>
      upgrade(project, { key, samples }),
    );
  const dashboard = await stage('Prometheus finds every process', async () => watchDashboard(project));
  await stage('every container is locked in', async () => {
    await checkContainers(project);
    await checkInside(project);
    await checkRestart(project);
  });
  await stage('images through the gateway alone', async () => {
    const where = ['--url', project.url('HTTP')];
    for (const sample of samples) await equalize(project, sample, { keyFile: key.file, where });
  });
  await blows();
  await stage('what the dashboard asks has an answer', async () =>
    say(`  ${await dashboard.end()} expressions, each with series`),
  );
  await stage('what it weighs', async () => weigh(project, images));
  await stage('the verdict, at rest', verdict);
}

/** Every way in which `mesh chaos` and `mesh payments` hurt containers. */
async function blows() {
  await chaos("the coordinator's container is killed", 1, 'coordinator', ...readings);
  const cut = ['--disconnect', 'mesh', 'data', '--pause-ms', '5000'];
  await chaos('the coordinator is cut off its networks', null, 'coordinator', ...cut, ...readings);
  const frozen = ['--signal', 'STOP', '--pause-ms', '4000'];
  await chaos('the coordinator is paused', null, 'coordinator', ...frozen, ...readings);
  await chaos("the equalizer's coordinator is killed while jobs run", 1, 'equalizer-coordinator', ...jobs);
  const offStores = ['--disconnect', 'data', '--pause-ms', '5000'];
  await chaos('… and is cut off ZooKeeper and Kafka', null, 'equalizer-coordinator', ...offStores, ...jobs);
  await chaos('another of its nodes is paused', null, 'equalizer-worker', ...frozen, ...jobs);
  await stage('orders, while all that they pass through is killed and paused', async () => {
    const document = await mesh('payments', '--requests', '600', '--uuids', '120', '--chaos');
    assert.equal(document.ok, true, JSON.stringify(document, undefined, 2));
    const { accepted, ledger, books, checkouts } = document.sums;
    say(
      `  ${document.blows.length} blows; in minor units: ordered ${accepted}, ledger ${ledger}, books ${books}, checkouts ${checkouts}`,
    );
  });
  await stage('the profile "chaos": the same from a container', async () => {
    const { stdout } = await compose({}, '--profile', 'chaos', 'run', '--rm', '--no-deps', 'chaos');
    assert.match(stdout, /PASSED: coordinator, 1 round/);
  });
  await stage('the profile "load": readings from a container', async () => {
    const { stdout } = await compose({}, '--profile', 'load', 'run', '--rm', '--no-deps', 'load');
    assert.match(stdout, /lost 0, duplicated 0, corrupted 0/);
  });
}

/** @param {number | null} failovers so many there must be; null: it depends on how soon it was noticed */
async function chaos(what, failovers, ...words) {
  await stage(what, async () => {
    const document = await mesh('chaos', ...words);
    assert.equal(document.ok, true, JSON.stringify(document, undefined, 2));
    if (failovers !== null) assert.equal(document.failoverMs?.n, failovers);
    const { failoverMs, load, jobs: images } = document;
    const parts = [
      ...(failoverMs === null ? [] : [`failover ${Math.round(failoverMs.max)} ms`]),
      `${load.acked} readings acked, ${document.lost} lost, ${document.duplicated} duplicated`,
      ...(images === null ? [] : [`${images.finished} of ${images.accepted} images as by one process alone`]),
    ];
    say(`  ${parts.join('; ')}`);
  });
}

async function verdict() {
  await compose({}, 'stop', 'fleet');
  const { ok, invariants } = await mesh('verify');
  for (const { id, ok: kept, detail } of invariants) say(`  ${kept ? 'kept  ' : 'BROKEN'} ${id}: ${detail}`);
  assert.equal(ok, true);
}

/** Runs one part of the test and says how long it took. */
async function stage(what, work) {
  signal.throwIfAborted();
  const begunAt = Date.now();
  const result = await work();
  say(`${what}: ${((Date.now() - begunAt) / 1000).toFixed(1)} s`);
  return result;
}

/** Its images, over volumes of their own, in the place of this version's. @returns undefined if it is not to be had */
async function beginWithPrevious() {
  const sources = await previousSources(project);
  if (sources === undefined) return undefined;
  await stage('docker compose down -v', async () => compose({}, 'down', '--volumes'));
  const how = { folder: sources.folder, version: `${name}-old` };
  await stage('images of the previous commit', async () => compose(how, 'build', '--quiet', ...built));
  await stage('up (the previous commit)', async () => {
    await compose(how, 'up', '--detach', '--no-build', '--quiet-pull');
    await project.untilReady();
  });
  return sources;
}

/** The project, the engine if it is ours, and then a look that nothing is left of either. */
async function takeDown() {
  const begunAt = Date.now();
  try {
    await project.takeDown();
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
  await engine.stop();
  await rm(home, { recursive: true, force: true });
  const places = [home, ...(engine.place === undefined ? [] : [engine.place.folder, engine.place.data])];
  const left = [...mountsBelow(places), ...places.flatMap((place) => processesWith(place))];
  if (left.length > 0) {
    console.error(`left behind: ${left.join(', ')}`);
    process.exitCode = 1;
  }
  say(
    `down, ${left.length === 0 ? 'nothing left' : 'NOT clean'}: ${((Date.now() - begunAt) / 1000).toFixed(1)} s`,
  );
}
