/** What an engine of ours leaves on a machine, and how it is taken away: processes, mounts, folders, groups of processes. */
import { execFile } from 'node:child_process';
import http from 'node:http';
import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const runDir = '/run';
const folderPrefix = 'thermomesh-docker-';
/** The engine makes these, whatever folders it is given. */
const strayFolders = ['/etc/docker', '/opt/containerd', '/run/containerd', '/run/docker'];
const cgroupRoot = '/sys/fs/cgroup';
const endTimeoutMs = 60_000;
const answerTimeoutMs = 30_000;
/** Every engine has these by itself. */
const givenNetworks = ['bridge', 'host', 'none'];

/**
 * @typedef {object} Place
 * @property {string} folder of sockets and the like, below /run
 * @property {string} data of images, containers and volumes
 * @property {boolean} lasting the data stays
 * @property {string[]} strays folders that were not there before
 * @property {number} owner the process that has started it
 */

/** A folder of that name, with a note that says whose it is. @returns {Place} */
export function describePlace({ suffix, data, lasting }) {
  const folder = path.join(runDir, `${folderPrefix}${suffix}`);
  const strays = strayFolders.filter((each) => !existsSync(each));
  return { folder, data, lasting, strays, owner: process.pid };
}

const noteOf = (folder) => path.join(folder, 'place.json');

/** For whoever comes after its owner was killed. @param {Place} place whose folder is there */
export function noteDown(place) {
  if (existsSync(noteOf(place.folder))) {
    const { owner } = JSON.parse(readFileSync(noteOf(place.folder), 'utf8'));
    if (existsSync(`/proc/${owner}`))
      throw new Error(`process ${owner} has one that runs in ${place.folder}`);
  }
  writeFileSync(noteOf(place.folder), JSON.stringify(place));
}

/** Ends engines whose owners are no more. */
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

/** Ends whatever runs there, and removes what is not to stay. @param {Place} place */
export async function removePlace({ folder, data, lasting, strays }) {
  if (!lasting) {
    // Clients whose parent was killed would go on making what is taken away here.
    const own = new Set(processesWith(`${folder}/`));
    const clients = processesWith(`DOCKER_HOST=unix://${folder}/`, 'environ').filter((pid) => !own.has(pid));
    for (const pid of clients) signal(pid, 'SIGKILL');
    await emptyEngine(path.join(folder, 'docker.sock'));
  }
  const deadline = Date.now() + endTimeoutMs;
  const engine = () => existsSync(folder) && processesWith(`${folder}/dockerd.pid`);
  // It ends its containers first.
  for (const pid of engine() || []) signal(pid, 'SIGTERM');
  while ((engine() || []).length > 0 && Date.now() < deadline) await delay(100);
  const folders = [folder, ...(lasting ? [] : [data])];
  for (const pid of folders.flatMap((each) => processesWith(`${each}/`))) signal(pid, 'SIGKILL');
  const mounted = mountsBelow([folder, data]).toSorted((a, b) => b.length - a.length);
  for (const mount of mounted) await run('umount', ['--lazy', mount]);
  for (const each of folders) await rm(each, { recursive: true, force: true });
  for (const stray of strays) await rm(stray, { recursive: true, force: true });
  await removeGroups(path.basename(folder), deadline);
}

/** Ends what still runs in groups of that name, in whichever hierarchies there are, and removes them. */
async function removeGroups(name, deadline) {
  const tops = [cgroupRoot, ...subfolders(cgroupRoot)]
    .map((each) => path.join(each, name))
    .filter(existsSync);
  const groups = tops.flatMap((top) => [...subfolders(top), top]);
  for (const group of groups) {
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

function subfolders(folder) {
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => path.join(folder, entry.name));
}

/** An engine that ends keeps its networks, and this machine their bridges. One that does not answer is past asking. */
async function emptyEngine(socketPath) {
  if ((await ask(socketPath, 'GET', '/version')) === undefined) return;
  for (const { Id } of (await ask(socketPath, 'GET', '/containers/json?all=true')) ?? [])
    await ask(socketPath, 'DELETE', `/containers/${Id}?force=true&v=true`);
  for (const { Id, Name } of (await ask(socketPath, 'GET', '/networks')) ?? [])
    if (!givenNetworks.includes(Name)) await ask(socketPath, 'DELETE', `/networks/${Id}`);
}

/** Undefined if there is no answer, or an empty one. */
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
      response.once('close', () => resolve(text === '' ? undefined : JSON.parse(text)));
    });
    request.end();
  });
}

/** Mount points of this machine in or below the folders. */
export function mountsBelow(folders) {
  const points = readFileSync('/proc/self/mounts', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  return points.filter((point) =>
    folders.some((folder) => point === folder || point.startsWith(`${folder}/`)),
  );
}

/** Pids of processes whose words, or environment, hold that text; this one is not among them. */
export function processesWith(text, where = 'cmdline') {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  return pids.map(Number).filter((pid) => wordsOf(pid, where).includes(text));
}

function wordsOf(pid, where) {
  try {
    return readFileSync(`/proc/${pid}/${where}`, 'utf8').replaceAll('\0', ' ');
  } catch (error) {
    // It has ended, or is hidden even from root: then it is none of ours.
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

/** @returns {boolean} false if something is still in it */
function removeGroup(group) {
  try {
    rmdirSync(group);
  } catch (error) {
    if (error.code === 'EBUSY') return false;
    if (error.code !== 'ENOENT') throw error;
  }
  return true;
}
