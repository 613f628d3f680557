/** One Compose project that a test starts, queries, breaks and takes down. */
import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freeLastingPort } from '../../../libs/servers/src/index.ts';
import { takeDown, takeDownMesh } from './take-down.mjs';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../../..');
const outputBytesMax = 64 * 1024 * 1024;
const readyTimeoutMs = 180_000;
const portNames = [
  ...['MQTT', 'HTTP', 'POSTGRES', 'CARD_PROCESSOR', 'PROMETHEUS'],
  ...[1, 2, 3, 4, 5].flatMap((id) => [`NODE_${id}`, `EQUALIZER_${id}`]),
  ...[1, 2, 3].map((id) => `ZOOKEEPER_${id}`),
];

/**
 * @typedef {Awaited<ReturnType<typeof createProject>>} Project
 * @param {object} options
 * @param {import('../engine.mjs').Engine} options.engine
 * @param {string} options.name the name of the project
 * @param {string} options.home a folder for all files that its tools write
 * @param {AbortSignal} options.signal ends the running command, but not the taking down
 * @param {(line: string) => void} options.say
 */
export async function createProject({ engine, name, home, signal, say }) {
  const ports = {};
  for (const each of portNames) ports[`${each}_PORT`] = String(await freeLastingPort());
  const environment = (version) => environmentOf(engine, { ports, home, version });
  /**
   * Default version of the images. It differs from the versions that other projects on this machine
   * use.
   */
  const current = `${name}-new`;

  async function command(file, words, { version = current, cwd = root, lasting = false, timeout = 0 } = {}) {
    const options = { env: environment(version), cwd, maxBuffer: outputBytesMax, timeout };
    return run(file, words, lasting ? options : { ...options, signal });
  }
  /**
   * @param {object} where
   * @param {string} [where.folder] of the Compose file
   * @param {string} [where.version] of the images
   * @param {boolean} [where.lasting] `signal` does not end the command
   * @param {number} [where.timeout] the maximum duration in milliseconds; 0 for none
   */
  async function compose({ folder = root, ...how }, ...words) {
    const [file, ...first] = engine.compose;
    const place = ['--project-name', name, '--project-directory', folder];
    const all = [...place, '--file', path.join(folder, 'docker-compose.yml'), '--ansi', 'never', ...words];
    return command(file, [...first, ...all], { ...how, cwd: folder });
  }
  async function docker(...words) {
    return (await command('docker', words)).stdout.trim();
  }
  /** Runs a command of the mesh tool. @returns its JSON document, whatever its exit code is */
  async function mesh(...words) {
    const script = path.join(root, 'tools/mesh/src/main.ts');
    const all = [script, '--target', 'compose', ...words, '--name', name, '--json'];
    const outcome = await command(process.execPath, all).catch((error) => error);
    if (outcome.stdout === undefined || outcome.stdout === '') throw outcome;
    return JSON.parse(outcome.stdout);
  }
  async function untilReady() {
    let last;
    await until('the mesh to be ready', readyTimeoutMs, async () => {
      last = await mesh('status').catch((error) => ({ ready: false, why: error.message }));
      return last.ready;
    }).catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify(last)}`);
    });
  }
  async function containers() {
    const ids = await docker(
      'ps',
      '--all',
      '--quiet',
      '--filter',
      `label=com.docker.compose.project=${name}`,
    );
    return ids === '' ? [] : JSON.parse(await docker('inspect', ...ids.split('\n')));
  }
  /** Runs a command in a running container. @returns its output */
  async function inside(service, ...words) {
    return (await compose({}, 'exec', '--no-TTY', service, ...words)).stdout;
  }
  return {
    engine,
    name,
    home,
    ports,
    current,
    say,
    signal,
    compose,
    docker,
    mesh,
    untilReady,
    containers,
    inside,
    /** The URL of a published port. */
    url: (port, rest = '') => `http://127.0.0.1:${ports[`${port}_PORT`]}${rest}`,
    showEnd: async () => showEnd({ name, compose, command }),
    /** Ends the mesh and removes its containers, networks and volumes, but no images. */
    takeDownMesh: async () => takeDownMesh({ engine, name, compose, command, say }),
    takeDown: async () => {
      await endProcesses(home);
      await takeDown({ engine, name, compose, command, say });
    },
  };
}

function environmentOf(engine, { ports, home, version }) {
  const all = { ...process.env, ...engine.env };
  const cpus = String(Math.min(2, os.availableParallelism()));
  return {
    ...all,
    ...ports,
    DOCKER_BUILDKIT: '1',
    THERMOMESH_VERSION: version,
    // The engine refuses limits above what the machine has.
    GATEWAY_CPUS: cpus,
    POSTGRES_CPUS: cpus,
    // The tools write all of their files below that folder.
    MESH_HOME: home,
    TMPDIR: home,
    CHAOS_TIMES: '1',
    LOAD_DEVICES: '20',
    LOAD_RATE: '200',
    LOAD_SECONDS: '5',
    ...socketOf(all.DOCKER_HOST),
    // Our own engine's networks do not reach the outside: packages come over the machine's network.
    ...(engine.own ? { BUILD_NETWORK: 'host' } : {}),
  };
}

/** The socket at which the profile "chaos" finds the engine, and the group that may use it. */
function socketOf(dockerHost = 'unix:///var/run/docker.sock') {
  if (!dockerHost.startsWith('unix://')) return {};
  const socket = dockerHost.slice('unix://'.length);
  return { DOCKER_SOCKET: socket, DOCKER_GROUP: String(statSync(socket).gid) };
}

/**
 * Asks again and again until the answer is true.
 * @throws Error that names `what` at the deadline
 */
export async function until(what, timeoutMs, ask) {
  const deadline = Date.now() + timeoutMs;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s in vain for ${what}`);
    await delay(250);
  }
}

/**
 * Sends SIGTERM to every process whose command line names that folder, such as the load generator,
 * which then ends gracefully.
 */
export async function endProcesses(home, part = '') {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,args=']);
  const lines = stdout.split('\n').filter((line) => line.includes(home) && line.includes(part));
  for (const line of lines) {
    const pid = Number(line.trim().split(/\s+/)[0]);
    try {
      if (pid !== process.pid) process.kill(pid, 'SIGTERM');
    } catch (error) {
      // The process has ended meanwhile.
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

/** Prints what a reader of a failed run needs. */
async function showEnd({ name, compose, command }) {
  const words = ['ps', '--all', '--filter', `label=com.docker.compose.project=${name}`];
  const { stdout } = await command('docker', [...words, '--format', '{{.Names}}  {{.Status}}'], {
    lasting: true,
  });
  console.error(stdout);
  console.error((await compose({ lasting: true }, 'logs', '--no-color', '--tail', '5')).stdout);
}
