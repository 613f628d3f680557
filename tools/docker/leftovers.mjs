/**
 * Removes what our own engine leaves on a machine: processes, mounts, folders, network links,
 * control groups.
 */
import { execFile } from 'node:child_process';
import http from 'node:http';
import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { groupsNamed } from './src/control-groups.ts';
import { notedLinks, removeLinks } from './src/links.ts';

const run = promisify(execFile);
const runDir = '/run';
const folderPrefix = 'thermomesh-docker-';
/** The engine makes these folders in addition to those that it gets. */
const strayFolders = ['/etc/docker', '/opt/containerd', '/run/containerd', '/run/docker'];
const endTimeoutMs = 60_000;
const answerTimeoutMs = 30_000;
/** Networks that every engine has. */
const givenNetworks = ['bridge', 'host', 'none'];

/**
 * @typedef {object} Place
 * @property {string} folder holds sockets and run-time files, below /run
 * @property {string} data holds images, containers and volumes
 * @property {boolean} lasting true if the data are kept
 * @property {string[]} strays folders that did not exist before
 * @property {number} owner pid of the process that started the engine
 */

/** Describes the place of a new engine. @returns {Place} */
export function describePlace({ suffix, data, lasting }) {
  const folder = path.join(runDir, `${folderPrefix}${suffix}`);
  const strays = strayFolders.filter((each) => !existsSync(each));
  return { folder, data, lasting, strays, owner: process.pid };
}

const noteOf = (folder) => path.join(folder, 'place.json');

/**
 * Writes the place down, so that a later run can remove it if its owner is killed.
 * @param {Place} place its folder exists
 */
export function noteDown(place) {
  if (existsSync(noteOf(place.folder))) {
    const { owner } = JSON.parse(readFileSync(noteOf(place.folder), 'utf8'));
    if (existsSync(`/proc/${owner}`))
      throw new Error(`process ${owner} has one that runs in ${place.folder}`);
  }
  writeFileSync(noteOf(place.folder), JSON.stringify(place));
}

/** Ends engines whose owners have ended. */
export async function endOrphans(say) {
  for (const name of await readdir(runDir)) {
    const folder = path.join(runDir, name);
    if (!name.startsWith(folderPrefix) || !existsSync(noteOf(folder))) continue;
    const place = JSON.parse(await readFile(noteOf(folder), 'utf8'));
    if (existsSync(`/proc/${place.owner}`)) continue;
    say(`ending an engine that was left behind: ${folder}`);
    await removePlace(place);
  }
}

/**
 * Ends the engine of a place, and removes all files that are not kept.
 * @param {Place} place
 * @throws Error that names the network links that cannot be removed
 */
export async function removePlace({ folder, data, lasting, strays }) {
  if (!lasting) {
    // Clients whose parent was killed would continue to create what is removed here.
    const own = new Set(processesWith(`${folder}/`));
    const clients = processesWith(`DOCKER_HOST=unix://${folder}/`, 'environ').filter((pid) => !own.has(pid));
    for (const pid of clients) signal(pid, 'SIGKILL');
    await emptyEngine(path.join(folder, 'docker.sock'));
  }
  const deadline = Date.now() + endTimeoutMs;
  const folders = [folder, ...(lasting ? [] : [data])];
  await endEngine(folder, folders);
  const links = notedLinks(data);
  const mounted = mountsBelow([folder, data]).toSorted((a, b) => b.length - a.length);
  for (const mount of mounted) await run('umount', ['--lazy', mount]);
  for (const each of folders) await rm(each, { recursive: true, force: true });
  for (const stray of strays) await rm(stray, { recursive: true, force: true });
  await removeGroups(path.basename(folder), deadline);
  const left = await removeLinks(links);
  if (left.length > 0) throw new Error(`network links are left behind: ${left.join(', ')}`);
}

/**
 * Ends the engine that runs in that folder: with SIGTERM it ends its containers first, and what
 * does not end in time is killed.
 * @param {string[]} folders every process that names one of them is part of the engine
 */
export async function endEngine(folder, folders = [folder]) {
  const deadline = Date.now() + endTimeoutMs;
  const engine = () => (existsSync(folder) ? processesWith(`${folder}/dockerd.pid`) : []);
  for (const pid of engine()) signal(pid, 'SIGTERM');
  while (engine().length > 0 && Date.now() < deadline) await delay(100);
  for (const pid of folders.flatMap((each) => processesWith(`${each}/`))) signal(pid, 'SIGKILL');
}

/**
 * Ends what still runs in groups of that name, in whichever hierarchies there are, and removes
 * them.
 */
async function removeGroups(name, deadline) {
  for (const group of groupsNamed(name)) {
    const pids = () =>
      readFileSync(path.join(group, 'cgroup.procs'), 'utf8')
        .split('\n')
        .filter((line) => line !== '');
    while (existsSync(group)) {
      for (const pid of pids()) signal(Number(pid), 'SIGKILL');
      if (removeGroup(group)) break;
      if (Date.now() > deadline) throw new Error(`processes of ${group} do not end`);
      await delay(100);
    }
  }
}

/**
 * Deletes the containers and networks of an engine. An engine that just ends keeps its networks,
 * and this machine their bridges. An engine that does not answer, or no longer, is left alone.
 */
async function emptyEngine(socketPath) {
  const list = async (place) => {
    const text = await ask(socketPath, 'GET', place);
    return text === undefined ? [] : JSON.parse(text);
  };
  if ((await ask(socketPath, 'GET', '/version')) === undefined) return;
  for (const { Id } of await list('/containers/json?all=true'))
    if ((await ask(socketPath, 'DELETE', `/containers/${Id}?force=true&v=true`)) === undefined) return;
  for (const { Id, Name } of await list('/networks')) {
    if (givenNetworks.includes(Name)) continue;
    if ((await ask(socketPath, 'DELETE', `/networks/${Id}`)) === undefined) return;
  }
}

/**
 * Sends a request to the engine.
 * @returns {Promise<string | undefined>} the answer's text; undefined if there is no answer in time
 */
async function ask(socketPath, method, place) {
  return new Promise((resolve) => {
    const request = http.request({
      socketPath,
      method,
      path: place,
      host: 'localhost',
      timeout: answerTimeoutMs,
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(undefined));
    request.once('response', (response) => {
      response.setEncoding('utf8');
      let text = '';
      response.on('data', (part) => (text += part));
      response.once('close', () => resolve(response.complete ? text : undefined));
    });
    request.end();
  });
}

/** Returns the mount points of this machine in or below the folders. */
export function mountsBelow(folders) {
  const points = readFileSync('/proc/self/mounts', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  return points.filter((point) =>
    folders.some((folder) => point === folder || point.startsWith(`${folder}/`)),
  );
}

/** Returns the pids of other processes whose command line, or environment, contains the text. */
export function processesWith(text, where = 'cmdline') {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  return pids.map(Number).filter((pid) => wordsOf(pid, where).includes(text));
}

function wordsOf(pid, where) {
  try {
    return readFileSync(`/proc/${pid}/${where}`, 'utf8').replaceAll('\0', ' ');
  } catch (error) {
    // It has ended, or is hidden even from root, so it is not one of ours.
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(error.code)) return '';
    throw error;
  }
}

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** @returns {boolean} false if a process is still in the group */
function removeGroup(group) {
  try {
    rmdirSync(group);
  } catch (error) {
    if (error.code === 'EBUSY') return false;
    if (error.code !== 'ENOENT') throw error;
  }
  return true;
}
