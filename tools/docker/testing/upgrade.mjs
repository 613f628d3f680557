/**
 * The upgrade from the previous commit's images to this version's: one service after the other,
 * under load.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { findPreviousCommit } from '../src/previous-commit.ts';
import { endProcesses, until } from './project.mjs';
import { startImages, startOrders } from './traffic.mjs';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../../..');
const waitSeconds = '180';
const beginTimeoutMs = 120_000;
/** A maximum that is never reached: the test ends the load itself. */
const loadSecondsMax = '1800';
const numbered = (name, count) => Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);

/** Services with a `build`; the others share their images. */
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
 * Services that others need come first: "up" of one service also updates all services that it
 * needs, so those must already be up to date. The list includes the stores, in case their pins have
 * changed.
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
 * Finds the commit before this one.
 * @param {string | undefined} from a commit to take instead
 * @returns {Promise<string | undefined>} undefined if there is none to upgrade from
 * @throws Error that says what to do, if the commit exists but is not here
 */
export async function findPrevious({ say }, from) {
  const found = await findPreviousCommit(root, from);
  if ('commit' in found) return found.commit;
  say(`  ${found.none}: the upgrade is NOT tested`);
  return undefined;
}

/**
 * Unpacks the sources of that commit.
 * @returns {Promise<{ commit: string, folder: string }>}
 */
export async function previousSources({ home }, commit) {
  const folder = path.join(home, 'previous');
  await mkdir(folder, { recursive: true });
  const archive = path.join(home, 'previous.tar');
  await run('git', ['-C', root, 'archive', '--output', archive, commit]);
  await run('tar', ['-x', '-f', archive, '-C', folder]);
  return { commit: commit.slice(0, 10), folder };
}

/**
 * Replaces one service after the other by this version's image, over the old data, while readings,
 * orders and images continue.
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
    // "up" does not wait for migrations, which run to their end; the services after them do.
    const waiting = migrations.includes(service) ? [] : ['--wait', '--wait-timeout', waitSeconds];
    await compose({}, 'up', '--detach', '--no-build', '--quiet-pull', ...waiting, service);
  }
  await project.untilReady();
  const imageCount = await images.end();
  const orderCount = await orders.end();
  await endProcesses(project.home, ' load ');
  const { sent, acked } = judged(await load.over);
  assert.ok(imageCount > 0 && orderCount > 0, 'no order or image was accepted during the upgrade');
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

/** Checks that no acked reading is lost, duplicated or corrupted. @returns the document */
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

/** Container id and image of every service. */
async function lives({ containers }) {
  const found = await containers();
  return new Map(
    found.map(({ Id, Config }) => [
      Config.Labels['com.docker.compose.service'],
      { id: Id, image: Config.Image },
    ]),
  );
}
