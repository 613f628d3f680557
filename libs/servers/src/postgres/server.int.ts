import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { createPool } from '@thermomesh/sql';
import { identify, isAlive, waitForEnd } from '../processes.ts';
import { sqlPatience, testPostgres } from '../testing/database.ts';
import { findRunningPostgres } from './pid-file.ts';
import { startPostgres, stopPostgres } from './server.ts';

const folders: string[] = [];
function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-servers-'));
  chmodSync(folder, 0o755);
  folders.push(folder);
  return folder;
}
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const pool = createPool({ ...sqlPatience, url, applicationName: 'servers-test', connectionsMax: 1 });
  try {
    return await pool.query(text);
  } finally {
    await pool.close();
  }
}

describe('PostgreSQL', () => {
  it('a taken port is reported in one line that names the process', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const { port } = squatter.address() as AddressInfo;
    try {
      const dataDir = path.join(temporaryFolder(), 'pg');
      await assert.rejects(startPostgres({ dataDir, port, durableInit: false }), (error: Error) => {
        assert.match(
          error.message,
          new RegExp(`^[^\\n]*port ${port} is taken by process ${process.pid} \\(node[^\\n]*$`),
        );
        return true;
      });
    } finally {
      squatter.close();
    }
  });

  it('committed rows survive kill -9 of PostgreSQL and a restart', async () => {
    const own = await testPostgres();
    try {
      await query(own.server.url, 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS n');
      const first = own.server;
      await first.kill();
      assert.equal((await first.exited).signal, 'SIGKILL');
      await own.restart();
      assert.notEqual(own.server.pid, first.pid);
      assert.equal(own.server.url, first.url);
      assert.deepEqual(await query(own.server.url, 'SELECT count(*) AS n FROM t'), [{ n: 1000 }]);
    } finally {
      await own.remove();
    }
  });

  it('PostgreSQL acknowledges only what is on disk, and listens on 127.0.0.1 only', async () => {
    const own = await testPostgres();
    try {
      const url = new URL(own.server.url);
      assert.equal(url.hostname, '127.0.0.1');
      for (const [name, value] of [
        ['fsync', 'on'],
        ['synchronous_commit', 'on'],
        ['full_page_writes', 'on'],
        ['listen_addresses', '127.0.0.1'],
        ['unix_socket_directories', ''],
      ] as const) {
        assert.deepEqual(await query(own.server.url, `SHOW ${name}`), [{ [name]: value }]);
      }
      url.password = 'guessed';
      await assert.rejects(query(url.href, 'SELECT 1'), /password authentication failed/);
    } finally {
      await own.remove();
    }
  });

  it('PostgreSQL starts again on its data; a second server on them is refused', async () => {
    const folder = temporaryFolder();
    const dataDir = path.join(folder, 'pg');
    const first = await startPostgres({ dataDir, durableInit: false, endWithParent: true });
    try {
      assert.equal(statSync(`${dataDir}.password`).mode & 0o777, 0o600);
      await query(first.url, 'CREATE TABLE kept (n int)');
      await assert.rejects(startPostgres({ dataDir }), { code: 'postgres.already_running' });
      await first.stop();
      await first.stop();
      assert.equal(await isAlive(first), false);
      assert.equal(await stopPostgres(dataDir), false);
    } finally {
      await first.stop();
    }
    const second = await startPostgres({ dataDir, endWithParent: true });
    try {
      assert.deepEqual(await query(second.url, 'SELECT count(*) AS n FROM kept'), [{ n: 0 }]);
    } finally {
      await second.stop();
    }
  });

  it('a PostgreSQL server left behind by a killed parent is found and stopped', async () => {
    const folder = temporaryFolder();
    const dataDir = path.join(folder, 'pg');
    const script = `
      const { startPostgres } = await import(${JSON.stringify(import.meta.resolve('./server.ts'))});
      await startPostgres({ dataDir: ${JSON.stringify(dataDir)}, durableInit: false });
      process.kill(process.pid, 'SIGKILL');`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
    await new Promise((resolve) => parent.once('exit', resolve));
    const left = await findRunningPostgres(dataDir);
    assert.ok(left, 'the server outlives its parent');
    assert.equal(await stopPostgres(dataDir), true);
    assert.equal(await isAlive(left), false);
  });

  it('a PostgreSQL test server ends with its killed parent', async () => {
    const folder = temporaryFolder();
    const dataDir = path.join(folder, 'pg');
    const note = path.join(folder, 'server.json');
    const script = `
      const { startPostgres } = await import(${JSON.stringify(import.meta.resolve('./server.ts'))});
      const { writeFileSync } = await import('node:fs');
      const { pid, startTime } = await startPostgres({ dataDir: ${JSON.stringify(dataDir)}, durableInit: false, endWithParent: true });
      writeFileSync(${JSON.stringify(note)}, JSON.stringify({ pid, startTime }));
      process.kill(process.pid, 'SIGKILL');`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
    await new Promise((resolve) => parent.once('exit', resolve));
    const server = JSON.parse(readFileSync(note, 'utf8')) as { pid: number; startTime: string };
    assert.equal(await waitForEnd(server, 20_000), true);
  });

  it('a stale postmaster.pid stops no other process and blocks no start', async () => {
    const folder = temporaryFolder();
    const dataDir = path.join(folder, 'pg');
    const first = await startPostgres({ dataDir, durableInit: false, endWithParent: true });
    const file = path.join(first.dataDir, 'postmaster.pid');
    const text = readFileSync(file, 'utf8');
    await first.kill();
    const bystander = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], {
      stdio: 'ignore',
    });
    try {
      const identity = await identify(bystander.pid ?? 0);
      assert.ok(identity);
      writeFileSync(file, text.replace(/^\d+/, String(bystander.pid)));
      assert.equal(await stopPostgres(dataDir), false);
      const second = await startPostgres({ dataDir, endWithParent: true });
      await second.stop();
      assert.equal(await isAlive(identity), true);
    } finally {
      bystander.kill('SIGKILL');
    }
  });

  it('a start killed during initdb leaves nothing that looks like a cluster', async () => {
    const folder = temporaryFolder();
    const dataDir = path.join(folder, 'pg');
    mkdirSync(`${dataDir}.new`);
    writeFileSync(path.join(`${dataDir}.new`, 'PG_VERSION'), '18\n');
    const server = await startPostgres({ dataDir, durableInit: false, endWithParent: true });
    await server.stop();
    assert.equal(existsSync(`${dataDir}.new`), false);
  });

  it('root in a private folder puts PostgreSQL data elsewhere and finds them again', async (t) => {
    if (process.getuid?.() !== 0) {
      t.diagnostic('not root: the server runs as this user, who can enter the folder');
    }
    const folder = temporaryFolder();
    chmodSync(folder, 0o700);
    const dataDir = path.join(folder, 'clone', '.mesh', 'main', 'pg');
    const notices: string[] = [];
    const first = await startPostgres({
      dataDir,
      durableInit: false,
      endWithParent: true,
      onNotice: (line) => notices.push(line),
    });
    try {
      await query(first.url, 'CREATE TABLE kept (n int)');
      await first.stop();
      const second = await startPostgres({ dataDir, endWithParent: true });
      assert.equal(second.dataDir, first.dataDir);
      assert.deepEqual(await query(second.url, 'SELECT count(*) AS n FROM kept'), [{ n: 0 }]);
      await second.stop();
      if (process.getuid?.() === 0) {
        assert.notEqual(first.dataDir, dataDir);
        assert.match(notices.join('\n'), new RegExp(`its data are in ${first.dataDir}`));
      } else assert.equal(first.dataDir, dataDir);
    } finally {
      await first.stop();
      rmSync(path.dirname(first.dataDir), { recursive: true, force: true });
    }
  });
});
