/**
 * Installs the packages if they are missing. Plain JavaScript for Node >= 20, without any package,
 * because it runs before node_modules exists.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export const root = path.resolve(
  import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname),
  '..',
);
export const pinnedNode = path.join(
  root,
  'node_modules/node/bin',
  process.platform === 'win32' ? 'node.exe' : 'node',
);

const nodeMajorMin = 20;
const progressIntervalMs = 15_000;
const lockFile = path.join(root, 'package-lock.json');
const installedLockFile = path.join(root, 'node_modules/.package-lock.json');
const markFile = path.join(root, 'node_modules/.thermomesh-lock');

/**
 * Runs `npm ci` unless the installed packages fit package-lock.json. If they fit, neither npm nor a
 * network is needed.
 * @param say receives one line at a time
 * @throws Error with one clear line
 */
export async function ensureInstalled(say) {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < nodeMajorMin)
    throw new Error(`Node ${nodeMajorMin} or newer is needed, this is ${process.version}`);
  const reason = whyInstall();
  if (reason === undefined) return;
  const folder = path.join(root, 'node_modules');
  // npm would follow the link and empty the folder behind it.
  if (lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink() === true)
    throw new Error(`${folder} is a link to a folder that does not fit (${reason}): remove the link`);
  say(`installing the packages of package-lock.json into node_modules: ${reason}`);
  say('(npm packages with PostgreSQL and Node 24; about 500 MB, once; later starts need no network)');
  const startedAt = Date.now();
  const elapsed = () => `${Math.round((Date.now() - startedAt) / 1000)} s`;
  const progress = setInterval(() => say(`still installing (${elapsed()})`), progressIntervalMs);
  try {
    await npm(['ci', '--no-audit', '--no-fund', '--ignore-scripts=false', '--loglevel=error']);
  } finally {
    clearInterval(progress);
  }
  if (!existsSync(pinnedNode)) {
    throw new Error(`npm did not install the pinned Node (${pinnedNode}): are install scripts switched off?`);
  }
  writeFileSync(markFile, markOf());
  say(`installed in ${elapsed()}`);
}

/** Returns the reason for an install; undefined if none is needed. */
export function whyInstall() {
  if (!existsSync(path.join(root, 'node_modules'))) return 'there is no node_modules';
  if (!existsSync(pinnedNode)) return 'the pinned Node is missing';
  if (existsSync(markFile) && readFileSync(markFile, 'utf8') === markOf()) return undefined;
  const misfit = firstMisfit();
  if (misfit !== undefined) return misfit;
  // A person has run npm by hand, and the installed packages fit.
  writeFileSync(markFile, markOf());
  return undefined;
}

/**
 * Returns the first package that differs from package-lock.json; undefined if all fit.
 */
function firstMisfit() {
  if (!existsSync(installedLockFile)) return 'node_modules has no list of its packages';
  const wanted = JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedLockFile, 'utf8')).packages;
  for (const [place, entry] of Object.entries(wanted)) {
    if (!place.startsWith('node_modules/') && !place.includes('/node_modules/')) continue;
    const found = installed[place];
    // Optional packages for other platforms are rightly absent.
    if (found === undefined && (entry.optional === true || entry.peer === true)) continue;
    if (found === undefined || found.version !== entry.version) {
      return `${place.replace(/^.*node_modules\//, '')} should be ${entry.version ?? 'linked'} and is ${found?.version ?? 'absent'}`;
    }
  }
  return undefined;
}

function markOf() {
  const hash = createHash('sha256').update(readFileSync(lockFile)).digest('hex');
  return `${hash} ${process.platform}-${process.arch}\n`;
}

async function npm(words) {
  const script = process.env.npm_execpath;
  const viaNode = script !== undefined && /\.c?js$/.test(script);
  const command = viaNode ? process.execPath : process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const child = spawn(command, viaNode ? [script, ...words] : words, { cwd: root, stdio: 'inherit' });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (exitCode, signal) => resolve(signal ?? exitCode));
  });
  if (code !== 0) throw new Error(`npm ${words[0]} failed (${code}): see its message above`);
}
