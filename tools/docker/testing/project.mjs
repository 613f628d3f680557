/** One Compose project that a test makes, asks, hurts and takes down. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freeLastingPort } from '../../../libs/servers/src/index.ts';

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
 * @param {string} options.name of the project
 * @param {string} options.home a folder for everything that its tools write
 * @param {AbortSignal} options.signal ends whatever command runs; the taking down goes on
 * @param {(line: string) => void} options.say
 */
export async function createProject({ engine, name, home, signal, say }) {
  const ports = {};
  for (const each of portNames) ports[`${each}_PORT`] = String(await freeLastingPort());
  const environment = (version) => environmentOf(engine, { ports, home, version });
  /** Version of the images that are run where no other is named: beside those that somebody uses here. */
  const current = `${name}-new`;

  async function command(file, words, { version = current, cwd = root, lasting = false } = {}) {
    const options = { env: environment(version), cwd, maxBuffer: outputBytesMax };
    return run(file, words, lasting ? options : { ...options, signal });
  }
  /** @param {{ folder?: string, version?: string, lasting?: boolean }} where the Compose file is, and which images */
  async function compose({ folder = root, ...how }, ...words) {
    const [file, ...first] = engine.compose;
    const place = ['--project-name', name, '--project-directory', folder];
    const all = [...place, '--file', path.join(folder, 'docker-compose.yml'), '--ansi', 'never', ...words];
    return command(file, [...first, ...all], { ...how, cwd: folder });
  }
  async function docker(...words) {
    return (await command('docker', words)).stdout.trim();
  }
  /** A command of the mesh tool; its JSON document, whatever it exits with. */
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
  /** A command in a running container. */
  async function inside(service, ...words) {
    return (await compose({}, 'exec', '--no-TTY', service, ...words)).stdout;
  }
  return {
    ...{ engine, name, home, ports, current, say, signal },
    ...{ compose, docker, mesh, untilReady, containers, inside },
    /** A URL of something that is published. */
    url: (port, rest = '') => `http://127.0.0.1:${ports[`${port}_PORT`]}${rest}`,
    showEnd: async () => showEnd({ name, compose, command }),
    takeDown: async () => takeDown({ engine, name, home, compose, command }),
  };
}

function environmentOf(engine, { ports, home, version }) {
  const all = { ...process.env, ...engine.env };
  const cpus = String(Math.min(2, os.availableParallelism()));
  return {
    ...all,
    ...ports,
    ...{ DOCKER_BUILDKIT: '1', THERMOMESH_VERSION: version },
    // The engine refuses limits above what there is.
    ...{ GATEWAY_CPUS: cpus, POSTGRES_CPUS: cpus },
    // Whatever its tools leave is below that folder.
    ...{ MESH_HOME: home, TMPDIR: home },
    ...{ CHAOS_TIMES: '1', LOAD_DEVICES: '20', LOAD_RATE: '200', LOAD_SECONDS: '5' },
    ...socketOf(all.DOCKER_HOST),
    // Our own engine has no way out of its networks: packages come over the machine's.
    ...(engine.own ? { BUILD_NETWORK: 'host' } : {}),
  };
}

/** Where the profile "chaos" finds the engine, and as whom. */
function socketOf(dockerHost = 'unix:///var/run/docker.sock') {
  if (!dockerHost.startsWith('unix://')) return {};
  const socket = dockerHost.slice('unix://'.length);
  return { DOCKER_SOCKET: socket, DOCKER_GROUP: String(statSync(socket).gid) };
}

/** Asks until the answer is true. */
export async function until(what, timeoutMs, ask) {
  const deadline = Date.now() + timeoutMs;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s in vain for ${what}`);
    await delay(250);
  }
}

/** The load generator ends in order when it is told to; so does whatever else was begun below that folder. */
export async function endProcesses(home, part = '') {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,args=']);
  const lines = stdout.split('\n').filter((line) => line.includes(home) && line.includes(part));
  for (const line of lines) {
    const pid = Number(line.trim().split(/\s+/)[0]);
    try {
      if (pid !== process.pid) process.kill(pid, 'SIGTERM');
    } catch (error) {
      // It has ended meanwhile.
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

/** What a reader of a failed run needs. */
async function showEnd({ name, compose, command }) {
  const words = ['ps', '--all', '--filter', `label=com.docker.compose.project=${name}`];
  const { stdout } = await command('docker', [...words, '--format', '{{.Names}}  {{.Status}}'], {
    lasting: true,
  });
  console.error(stdout);
  console.error((await compose({ lasting: true }, 'logs', '--no-color', '--tail', '5')).stdout);
}

/** Containers, networks, volumes and the images of this run; then looks that nothing of it is left. */
async function takeDown({ engine, name, home, compose, command }) {
  const docker = async (...words) => (await command('docker', words, { lasting: true })).stdout.trim();
  const ofProject = ['--filter', `label=com.docker.compose.project=${name}`];
  const lines = (text) => text.split('\n').filter((line) => line !== '');
  await endProcesses(home);
  // One that is being thrown away needs no orderly end; a paused one would not come to it.
  const ids = lines(await docker('ps', '--all', '--quiet', ...ofProject));
  if (ids.length > 0) await docker('rm', '--force', '--volumes', ...ids);
  await compose({ lasting: true }, '--profile', '*', 'down', '--volumes', '--remove-orphans');
  const images = lines(await docker('images', '--format', '{{.Repository}}:{{.Tag}}'));
  const own = images.filter((image) => image.includes(name));
  if (own.length > 0) await docker('rmi', '--force', ...own);
  const left = {
    containers: lines(await docker('ps', '--all', '--quiet', ...(engine.own ? [] : ofProject))),
    networks: lines(await docker('network', 'ls', '--quiet', ...ofProject)),
    volumes: lines(await docker('volume', 'ls', '--quiet', ...(engine.own ? [] : ofProject))),
    images: lines(await docker('images', '--format', '{{.Repository}}:{{.Tag}}')).filter((image) =>
      image.includes(name),
    ),
  };
  assert.deepEqual(
    left,
    { containers: [], networks: [], volumes: [], images: [] },
    'something is left behind',
  );
}
