/**
 * Tests the whole mesh in real containers: builds the images, starts those of the previous commit,
 * upgrades one service at a time under load, injects every fault, judges the result, and takes
 * everything down without a trace. Runs on the pinned Node (`npm run test:compose`). With
 * `--from <commit>` the upgrade begins at that commit instead of the one before.
 *
 * Exit code 0: passed; 1: failed; 77: it did not run, because there is no container engine here and
 * none can be started. The reason then also goes to the file that `NOT_RUN_REASON_FILE` names.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
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
import { built, findPrevious, judged, previousSources, upgrade } from '../tools/docker/testing/upgrade.mjs';
import { root } from './install.mjs';
import { notRunCode, reasonFileVariable } from './verdict.mjs';

const readings = ['--load', '--devices', '20', '--rate', '200'];
/** Readings and image jobs; each series first runs every kind of job without a fault. */
const jobs = [...readings, '--jobs', '1'];

const { from } = parseArgs({ options: { from: { type: 'string' } } }).values;
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
  const reasonFile = process.env[reasonFileVariable];
  if (reasonFile !== undefined) writeFileSync(reasonFile, engine.absent);
  process.exit(notRunCode);
}
say(engine.text);
/**
 * Holds the files that the tools of this run write. With an engine of our own it is removed with
 * the engine, even after a kill -9.
 */
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
  if (!signal.aborted) await project.showEnd().catch((failure) => console.error(failure.message));
} finally {
  await takeDown();
}

async function test() {
  // A clone that lacks the previous commit is reported before anything is built.
  const previousCommit = await findPrevious(project, from);
  const { pulled, made } = await ensureBaseImages(engine, say, { signal });
  say(
    `base images: ${pulled.length} pulled, ${made.length} made of Debian's packages, the others were there`,
  );
  await stage('docker compose up, with nothing there: builds and starts', async () =>
    compose({}, 'up', '--detach', '--quiet-pull'),
  );
  await stage('… until everything is ready', async () => project.untilReady());
  await stage('what is in the images', async () => checkImages(project));
  const previous = await beginWithPrevious(previousCommit);
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
  await injectFaults();
  await stage('what the dashboard asks has an answer', async () =>
    say(`  ${await dashboard.end()} expressions, each with series`),
  );
  await stage('what it weighs', async () => weigh(project, images));
  await stage('the verdict, at rest', verdict);
}

/** Every fault that `mesh chaos` and `mesh payments` inject into containers. */
async function injectFaults() {
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
      `  ${document.blows.length} kinds of faults; in minor units: ordered ${accepted}, ledger ${ledger}, books ${books}, checkouts ${checkouts}`,
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

/**
 * @param {number | null} failovers the expected number; null if it depends on how soon the nodes
 *   notice the fault
 */
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
  for (const { id, ok: kept, detail } of invariants)
    say(`  ${kept === null ? 'null  ' : kept ? 'kept  ' : 'BROKEN'} ${id}: ${detail}`);
  assert.equal(ok, true);
}

/** Runs one part of the test and prints how long it took. */
async function stage(what, work) {
  signal.throwIfAborted();
  const begunAt = Date.now();
  const result = await work();
  say(`${what}: ${((Date.now() - begunAt) / 1000).toFixed(1)} s`);
  return result;
}

/**
 * Replaces the running mesh by one of the previous commit's images, over new volumes.
 * @param {string | undefined} commit undefined if there is none to upgrade from
 */
async function beginWithPrevious(commit) {
  if (commit === undefined) return undefined;
  const sources = await previousSources(project, commit);
  await stage('docker compose down -v', async () => project.takeDownMesh());
  const how = { folder: sources.folder, version: `${name}-old` };
  await stage('images of the previous commit', async () => compose(how, 'build', '--quiet', ...built));
  await stage('up (the previous commit)', async () => {
    await compose(how, 'up', '--detach', '--no-build', '--quiet-pull');
    await project.untilReady();
  });
  return sources;
}

/** Takes down the project and our own engine, and checks that neither has left anything behind. */
async function takeDown() {
  const begunAt = Date.now();
  const errors = [];
  for (const end of [project.takeDown, engine.stop]) await end().catch((error) => errors.push(error));
  await rm(home, { recursive: true, force: true });
  const places = [home, ...(engine.place === undefined ? [] : [engine.place.folder, engine.place.data])];
  const left = [...mountsBelow(places), ...places.flatMap((place) => processesWith(place))];
  if (left.length > 0) errors.push(new Error(`left behind: ${left.join(', ')}`));
  for (const error of errors) console.error(error);
  if (errors.length > 0) process.exitCode = 1;
  say(
    `down, ${errors.length === 0 ? 'nothing left' : 'NOT clean'}: ${((Date.now() - begunAt) / 1000).toFixed(1)} s`,
  );
}
