/** PgBouncer for tests: a pooler in front of a PostgreSQL, from Debian's packages. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { searchPath, toolsDirDefault } from '../config.ts';
import { exitOf, launch } from '../launch.ts';
import { freePort } from '../ports.ts';
import { probePostgres } from '../postgres/probe.ts';
import { libraryPath, unpackDebian } from '../tools/debian.ts';
import { onPath } from '../tools/search-path.ts';

/** A pooler that only one test uses. */
export interface TestPgBouncer {
  /** As the URL of the database behind it. */
  url: string;
  /** Ends the pooler and removes its files. */
  remove(): Promise<void>;
}

/** The package and the libraries that a bare system lacks. */
const packages = ['pgbouncer', 'libc-ares2', 'libevent-2.1-7'];
const startTimeoutMs = 30_000;
/** PgBouncer does not run as root. */
const ordinaryUser = 'nobody';

/**
 * Starts a pooler in front of the database that `databaseUrl` names; it ends with this process.
 * @param settings lines of the section `[pgbouncer]`, such as `pool_mode`
 */
export async function testPgBouncer(
  databaseUrl: string,
  settings: Readonly<Record<string, string>>,
): Promise<TestPgBouncer> {
  const { program, env } = await findPgBouncer();
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-pgbouncer-'));
  await chmod(folder, 0o755);
  const url = new URL(databaseUrl);
  const port = await freePort();
  const file = path.join(folder, 'pgbouncer.ini');
  writeFileSync(path.join(folder, 'users.txt'), `"${url.username}" "${decodeURIComponent(url.password)}"\n`);
  const all = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'plain',
    auth_file: path.join(folder, 'users.txt'),
    ...settings,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  writeFileSync(
    file,
    `[databases]\n* = host=${url.hostname} port=${url.port}\n[pgbouncer]\n${lines.join('\n')}\n`,
  );
  const result = await launch({
    program,
    args: process.getuid?.() === 0 ? ['-u', ordinaryUser, file] : [file],
    env: { PATH: '/usr/bin:/bin', ...env },
    cwd: folder,
    logFile: path.join(folder, 'log'),
    pidFile: path.join(folder, 'pid'),
    isReady: async () => (await probePostgres(port, startTimeoutMs)) !== 'silent',
    timeoutMs: startTimeoutMs,
    endWithParent: true,
    scratchFolder: folder,
  });
  if ('reason' in result) throw new Error(`PgBouncer did not start: ${result.reason}`);
  url.host = `127.0.0.1:${port}`;
  return {
    url: url.href,
    async remove() {
      result.child.kill('SIGKILL');
      await exitOf(result.child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function findPgBouncer(): Promise<{ program: string; env: Record<string, string> }> {
  const installed = await onPath('pgbouncer', searchPath());
  if (installed !== undefined) return { program: installed, env: {} };
  const folder = await unpackDebian({ toolsDir: toolsDirDefault, name: 'pgbouncer', packages });
  return {
    program: path.join(folder, 'usr', 'sbin', 'pgbouncer'),
    env: { LD_LIBRARY_PATH: libraryPath(folder) },
  };
}
