/**
 * Finds a container engine: one that already runs, or else Debian's, which is started for the time
 * of a command and ended with it. It leaves no trace except the unpacked packages.
 *
 * Our own engine does not touch the machine's network: no firewall rules, no forwarding. Its
 * containers reach each other inside their networks, the machine reaches published ports, and no
 * packet leaves. Runs on the pinned Node.
 */
import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { libraryPath, unpackDebian } from '../../libs/servers/src/index.ts';
import { describePlace, endEngine, endOrphans, noteDown, removePlace } from './leftovers.mjs';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');
const toolsDir = path.join(root, '.mesh/tools');
/**
 * Keeps images, containers and volumes of an engine that a person starts. Those of a test are
 * separate, and are removed at its end.
 */
const lastingData = path.join(root, '.mesh/docker');

/** The engine, and the packages that it needs beyond a bare Debian system. */
const enginePackages = [
  ...['docker.io', 'containerd', 'runc', 'tini', 'iptables', 'libip4tc2', 'libip6tc2', 'libxtables12'],
  ...['libnftnl11', 'libmnl0', 'libnfnetlink0', 'libnetfilter-conntrack3', 'libdevmapper1.02.1'],
];
/** The first release with Compose version 2; its package also runs on the release before. */
const composeRelease = 'trixie';
const startTimeoutMs = 60_000;
const commandTimeoutMs = 300_000;

/**
 * @typedef {object} Engine
 * @property {Record<string, string>} env for children: DOCKER_HOST, and a PATH on which `docker` is
 * @property {string[]} compose the words that begin a Compose command
 * @property {string} text describes the engine in one line
 * @property {boolean} own true if it was started here
 * @property {import('./leftovers.mjs').Place} [place] its place, if it was started here
 * @property {() => Promise<void>} [restart] restarts the engine, if it was started here
 * @property {() => Promise<void>} stop ends the engine if it was started here
 */

/**
 * Finds an engine that runs, or starts one.
 * @param {(line: string) => void} say
 * @param {{ lasting?: boolean }} options `lasting`: an engine that is started here keeps its images
 *   and volumes for the next time
 * @returns {Promise<Engine | { absent: string }>} `absent`: the reason why there is none, in one
 *   line
 */
export async function findEngine(say, { lasting = false } = {}) {
  const running = await answering(process.env);
  if (running !== undefined) {
    const compose = await findCompose(process.env, say).catch((error) => ({ absent: firstLine(error) }));
    if ('absent' in compose) return { absent: `an engine runs, but Compose is absent: ${compose.absent}` };
    return {
      env: {},
      ...compose,
      text: `the engine that runs here (${running})`,
      own: false,
      stop: async () => {},
    };
  }
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return { absent: 'no container engine runs here, and only root on Linux can start one' };
  const absent = (error) => ({
    absent: `no container engine runs here, and Debian's could not be started: ${firstLine(error)}`,
  });
  const programs = await findDockerd(say).catch(absent);
  if ('absent' in programs) return programs;
  // An engine that was left behind needs these programs to end its containers. An error here must
  // be visible.
  await endOrphans(say);
  return startEngine(say, placeOf(lasting), programs).catch(absent);
}

/** Returns the version of the engine that answers; undefined if none does. */
async function answering(env) {
  const words = ['version', '--format', '{{.Server.Version}}'];
  return run('docker', words, { env, timeout: 10_000 }).then(
    ({ stdout }) => stdout.trim() || undefined,
    () => undefined,
  );
}

function placeOf(lasting) {
  const random = randomBytes(4).toString('hex');
  const suffix = lasting ? createHash('sha256').update(root).digest('hex').slice(0, 8) : random;
  return describePlace({ suffix, lasting, data: lasting ? lastingData : `${lastingData}-${random}` });
}

/** @param {import('./leftovers.mjs').Place} place */
async function startEngine(say, place, programs) {
  const { folder, data } = place;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  mkdirSync(data, { recursive: true, mode: 0o710 });
  noteDown(place);
  const env = { ...programs.env, DOCKER_HOST: `unix://${folder}/docker.sock` };
  const whole = { ...process.env, ...env };
  const logFile = path.join(data, 'dockerd.log');
  const words = [
    ...['--data-root', path.join(data, 'data'), '--exec-root', path.join(folder, 'exec')],
    ...['--pidfile', path.join(folder, 'dockerd.pid'), '--host', env.DOCKER_HOST],
    // The machine's firewall, forwarding and bridges stay as they are.
    ...['--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false', '--bridge=none'],
    // This identifies every process in a container, in case the engine itself is killed.
    ...['--exec-opt', 'native.cgroupdriver=cgroupfs', '--cgroup-parent', path.basename(folder)],
    ...['--log-opt', 'max-size=16m'],
  ];
  const begin = async () => {
    const log = openSync(logFile, 'a', 0o600);
    const child = spawn(programs.dockerd, words, {
      env: { ...whole, ...programs.daemonEnv },
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    // The exit code below, or the log, reports the error.
    child.on('error', () => undefined);
    const deadline = Date.now() + startTimeoutMs;
    let version;
    while ((version = await answering(whole)) === undefined) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`dockerd does not start: ${lastError(logFile)}`);
      await delay(100);
    }
    return version;
  };
  const restart = async () => {
    await endEngine(folder);
    await begin();
  };
  const stop = async () => removePlace(place);
  try {
    const version = await begin();
    const compose = await findCompose(whole, say);
    const text = `Debian's engine ${version}, started for this run`;
    return { env, ...compose, text, own: true, place, restart, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function lastError(logFile) {
  const lines = readFileSync(logFile, 'utf8').trim().split('\n');
  return lines.findLast((line) => /level=(error|fatal)|failed to start/.test(line)) ?? lines.at(-1) ?? '';
}

/**
 * Unpacks Debian's packages into a folder: the system stays unchanged, and client and engine have
 * the same version.
 */
async function findDockerd(say) {
  const folder = await unpackDebian({
    toolsDir,
    name: 'docker-engine',
    packages: enginePackages,
    onNotice: say,
  });
  // An installed package gets these links from Debian's alternatives. The engine's own name service
  // needs them inside containers.
  for (const name of ['iptables', 'ip6tables']) {
    const link = path.join(folder, 'usr/sbin', name);
    if (!existsSync(link)) symlinkSync('xtables-nft-multi', link);
  }
  const inside = (names) => names.map((name) => path.join(folder, name)).filter(existsSync);
  const PATH = [...inside(['usr/sbin', 'usr/bin', 'sbin', 'bin']), process.env.PATH ?? ''].join(
    path.delimiter,
  );
  const libraries = libraryPath(folder);
  const extensions = libraries.split(path.delimiter).map((library) => path.join(library, 'xtables'));
  return {
    dockerd: path.join(folder, 'usr/sbin/dockerd'),
    env: { PATH },
    // Only the engine needs the libraries; containers do not get its environment.
    daemonEnv: { LD_LIBRARY_PATH: libraries, XTABLES_LIBDIR: extensions.find(existsSync) ?? '' },
  };
}

/**
 * Finds `docker compose` or `docker-compose` of version 2 or newer, or fetches a later Debian's.
 */
async function findCompose(env, say) {
  for (const compose of [['docker', 'compose'], ['docker-compose']]) {
    const [command, ...words] = compose;
    const version = await run(command, [...words, 'version', '--short'], { env }).then(
      ({ stdout }) => Number(/\d+/.exec(stdout)?.[0]),
      () => 0,
    );
    if (version >= 2) return { compose };
  }
  return { compose: [await fetchCompose(say)] };
}

/** Fetches Compose. @returns the path of its program */
async function fetchCompose(say) {
  const folder = await unpackFrom(composeRelease, 'docker-compose', ['docker-compose'], say);
  return path.join(folder, 'usr/libexec/docker/cli-plugins/docker-compose');
}

/**
 * Unpacks packages of one release of Debian below `.mesh/tools`, unless that was done before. Apt
 * gets its own lists: the system's sources and lists stay unchanged.
 * @returns {Promise<string>} the folder that corresponds to `/`
 */
export async function unpackFrom(release, name, packages, say) {
  const folder = path.join(toolsDir, `${name}-${release}`);
  if (existsSync(folder)) return folder;
  say(`unpacking ${packages.join(', ')} of Debian ${release} into ${folder}`);
  const work = await mkdtemp(path.join(os.tmpdir(), 'thermomesh-apt-'));
  const building = `${folder}.${process.pid}`;
  try {
    for (const part of ['lists/partial', 'cache/archives/partial', 'deb'])
      mkdirSync(path.join(work, part), { recursive: true });
    const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
    const source = `deb [signed-by=${keyring}] ${await debianMirror()} ${release} main\n`;
    writeFileSync(path.join(work, 'sources.list'), source);
    const settings = {
      'Dir::Etc::sourcelist': path.join(work, 'sources.list'),
      'Dir::Etc::sourceparts': '-',
      'Dir::State::lists': path.join(work, 'lists'),
      'Dir::Cache': path.join(work, 'cache'),
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
    };
    const lines = Object.entries(settings).map(([key, value]) => `${key} "${value}";\n`);
    writeFileSync(path.join(work, 'apt.conf'), lines.join(''));
    const env = { ...process.env, APT_CONFIG: path.join(work, 'apt.conf') };
    const options = { cwd: path.join(work, 'deb'), env, timeout: commandTimeoutMs };
    await run('apt-get', ['update'], options);
    await run('apt-get', ['download', ...packages], options);
    mkdirSync(building, { recursive: true });
    for (const file of readdirSync(options.cwd)) await run('dpkg-deb', ['-x', file, building], options);
    await rename(building, folder);
  } finally {
    await rm(work, { recursive: true, force: true });
    await rm(building, { recursive: true, force: true });
  }
  return folder;
}

/** Returns the address of the mirror from which this machine gets its Debian packages. */
export async function debianMirror() {
  const words = ['indextargets', '--format', '$(ORIGIN) $(REPO_URI)', 'Created-By: Packages'];
  const list = async () =>
    (await run('apt-get', words)).stdout.split('\n').filter((line) => line.startsWith('Debian '));
  let known = await list();
  // A system without lists names no mirror yet.
  if (known.length === 0) {
    await run('apt-get', ['update'], { timeout: commandTimeoutMs });
    known = await list();
  }
  const mirror = known.map((line) => line.split(' ')[1]).find((address) => !address.includes('security'));
  if (mirror === undefined) throw new Error('no sources of Debian are set up on this machine');
  return mirror;
}

function firstLine(error) {
  const text = error.stderr?.trim() || error.message;
  return text.split('\n')[0];
}

/**
 * `engine.mjs <command> …` runs the command with an engine, and ends the engine if it started it.
 */
if (process.argv[1] === import.meta.filename) {
  const engine = await findEngine((line) => console.error(line), { lasting: true });
  if ('absent' in engine) {
    console.error(engine.absent);
    process.exitCode = 1;
  } else {
    console.error(engine.text);
    const [command = 'bash', ...words] = process.argv.slice(2);
    const env = { ...process.env, ...engine.env, COMPOSE: engine.compose.join(' ') };
    const child = spawn(command, words, { env, stdio: 'inherit' });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    process.exitCode = await new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
    await engine.stop();
  }
}
