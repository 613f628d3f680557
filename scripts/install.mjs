/**
 * Installs what is missing. Plain JavaScript for Node >= 20, without any package: it runs before node_modules exists.
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
 * Runs `npm ci` unless what is installed fits package-lock.json; without it no npm and no network are needed.
 * @param say gets one line at a time
 * @throws Error with one clear line
 */
export async function ensureInstalled(say) {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < nodeMajorMin)
    throw new Error(`Node ${nodeMajorMin} or newer is needed, this is ${process.version}`);
  const reason = whyInstall();
  if (reason === undefined) return;
  const folder = path.join(root, 'node_modules');
  // npm follows the link and empties what it leads to.
  if (lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink() === true)
    throw new Error(`${folder} is a link, and what it leads to does not fit (${reason}): remove the link`);
  say(`installing the packages of package-lock.json into node_modules: ${reason}`);
  say('(npm packages, PostgreSQL and Node 24 among them; about 500 MB, once; later starts need no network)');
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

/** Why an install is needed; undefined if none is. */
export function whyInstall() {
  if (!existsSync(path.join(root, 'node_modules'))) return 'there is no node_modules';
  if (!existsSync(pinnedNode)) return 'the pinned Node is not there';
  if (existsSync(markFile) && readFileSync(markFile, 'utf8') === markOf()) return undefined;
  const misfit = firstMisfit();
  if (misfit !== undefined) return misfit;
  // Somebody has run npm by hand: what is there fits.
  writeFileSync(markFile, markOf());
  return undefined;
}

/** The first package that is installed otherwise than package-lock.json says; undefined if all fit. */
function firstMisfit() {
  if (!existsSync(installedLockFile)) return 'nothing says what node_modules holds';
  const wanted = JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedLockFile, 'utf8')).packages;
  for (const [place, entry] of Object.entries(wanted)) {
    if (!place.startsWith('node_modules/') && !place.includes('/node_modules/')) continue;
    const found = installed[place];
    // Optional packages for other platforms are absent rightly.
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
