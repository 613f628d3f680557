/** The previous commit's images, and the way from them to this version's: one service after the other, under load. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { endProcesses, until } from './project.mjs';
import { startImages, startOrders } from './traffic.mjs';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../../..');
const waitSeconds = '180';
const beginTimeoutMs = 120_000;
/** The load is told to end; it never comes to this. */
const loadSecondsMax = '1800';
const numbered = (name, count) => Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);

/** Those with a build of their own; others share its image. */
export const built = [
  'secrets',
  'gateway',
  'node-1',
  'billing-1',
  'card-processor',
  'equalizer-1',
  'kafka-1',
];
const migrations = ['migrate-analytics', 'migrate-billing', 'migrate-gateway'];
/**
 * What others stand on comes first: "up" of one service brings all that it needs up to date, so nothing else may be left to replace
 * there. Stores come along, should their pins have moved.
 */
const rolled = [
  ...[...numbered('zookeeper', 3), 'redis', 'postgres'],
  ...migrations,
  ...numbered('kafka', 3),
  'card-processor',
  ...numbered('billing', 2),
  'gateway',
  ...numbered('node', 5),
  ...numbered('equalizer', 5),
];

/**
 * The sources of the commit before this one.
 * @returns {Promise<{ commit: string, folder: string } | undefined>} undefined if it is not here, or knows no containers
 */
export async function previousSources({ home, say }) {
  const git = async (...words) => (await run('git', ['-C', root, ...words])).stdout.trim();
  const asked = async (...words) => git(...words).catch(() => undefined);
  const commit = await asked('rev-parse', '--verify', '--quiet', 'HEAD~1^{commit}');
  if (commit === undefined) {
    say('  the previous commit is not here (a shallow clone has none): the upgrade is NOT tested');
    return undefined;
  }
  if ((await asked('cat-file', '-e', `${commit}:docker-compose.yml`)) === undefined) {
    say('  the previous commit knows no containers: the upgrade is NOT tested');
    return undefined;
  }
  const folder = path.join(home, 'previous');
  await mkdir(folder, { recursive: true });
  const archive = path.join(home, 'previous.tar');
  await git('archive', '--output', archive, commit);
  await run('tar', ['-x', '-f', archive, '-C', folder]);
  return { commit: commit.slice(0, 10), folder };
}

/**
 * One service after the other gets this version's images, on the data of the old ones, while readings, orders and images go on.
 * @param {import('./project.mjs').Project} project
 */
export async function upgrade(project, { key, samples }) {
  const { compose, current, say } = project;
  const before = await lives(project);
  const load = startLoad(project);
  await untilAccepting(project);
  const images = startImages(project, samples, key.file);
  const orders = startOrders(project, key.key);
  for (const service of rolled) {
    load.mustRun();
    // Nobody waits for what runs to its end; the services after it do.
    const waiting = migrations.includes(service) ? [] : ['--wait', '--wait-timeout', waitSeconds];
    await compose({}, 'up', '--detach', '--no-build', '--quiet-pull', ...waiting, service);
  }
  await project.untilReady();
  const imageCount = await images.end();
  const orderCount = await orders.end();
  await endProcesses(project.home, ' load ');
  const { sent, acked } = judged(await load.over);
  assert.ok(imageCount > 0 && orderCount > 0, 'nothing went on meanwhile');
  say(
    `  ${sent} readings sent, ${acked} acked and stored; ${orderCount} orders charged once; ${imageCount} images as by one process alone`,
  );
  const after = await lives(project);
  for (const [service, { image, id }] of after) {
    if (!image.startsWith('thermomesh/') || !rolled.includes(service)) continue;
    assert.ok(image.endsWith(`:${current}`), `${service} still runs ${image}`);
    assert.notEqual(id, before.get(service)?.id, `${service} was not replaced`);
  }
  // What was rolled is what "up" wants: it replaces the fleet, and nothing else.
  await compose({}, 'up', '--detach', '--no-build', '--quiet-pull');
  await project.untilReady();
  const settled = await lives(project);
  for (const service of rolled)
    assert.equal(settled.get(service)?.id, after.get(service)?.id, `${service} was replaced again`);
}

/** Nothing that was acked is gone, twice there or another. */
export function judged(document) {
  const { sent, acked, lost, duplicated, corrupted, rejected } = document;
  assert.ok(acked > 0 && acked <= sent, `${acked} of ${sent} acked`);
  assert.deepEqual(
    { lost, duplicated, corrupted, rejected },
    { lost: 0, duplicated: 0, corrupted: 0, rejected: 0 },
  );
  return document;
}

function startLoad({ mesh }) {
  const words = ['--devices', '20', '--rate', '200', '--seconds', loadSecondsMax, '--drain-seconds', '120'];
  let ended;
  const over = mesh('load', ...words);
  over.then(
    () => (ended = new Error('the load ended too soon')),
    (error) => (ended = error),
  );
  return {
    over,
    mustRun() {
      if (ended !== undefined) throw ended;
    },
  };
}

async function untilAccepting({ mesh }) {
  const accepted = async () => (await mesh('status')).accounts.accepted ?? 0;
  const before = await accepted();
  await until('the load to begin', beginTimeoutMs, async () => (await accepted()) >= before + 100);
}

/** Every service, with its container and its image. */
async function lives({ containers }) {
  const found = await containers();
  return new Map(
    found.map(({ Id, Config }) => [
      Config.Labels['com.docker.compose.service'],
      { id: Id, image: Config.Image },
    ]),
  );
}
