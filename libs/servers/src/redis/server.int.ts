import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { until } from '@thermomesh/testing';
import { commandLine, isAlive, waitForEnd, type ProcessIdentity } from '../processes.ts';
import { runAndKill } from '../testing/scripts.ts';
import { testRedis, type TestRedis } from '../testing/redis.ts';
import { findRedis } from './binaries.ts';
import { probeRedis } from './probe.ts';
import { findRunningRedis, startRedis, stopRedis } from './server.ts';

/** Sends one command in the inline form of the protocol and returns the whole answer. */
async function ask(url: string, line: string): Promise<string> {
  const { port, password } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(port) });
    let text = '';
    socket.setTimeout(20_000, () => socket.destroy(new Error('no answer')));
    socket.once('error', reject);
    socket.on('data', (bytes) => (text += bytes.toString()));
    socket.once('close', () => resolve(text.replace(/^\+OK\r\n/, '').replace(/\+OK\r\n$/, '')));
    socket.write(`AUTH ${password}\r\n${line}\r\nQUIT\r\n`);
  });
}

describe('Redis', () => {
  let own: TestRedis;
  before(async () => {
    own = await testRedis();
  });
  after(async () => own?.remove());

  it('answered writes survive kill -9 of Redis and a restart', async () => {
    const first = own.server;
    assert.equal(await ask(first.url, 'RPUSH jobs a b c'), ':3\r\n');
    await first.kill();
    assert.equal((await first.exited).signal, 'SIGKILL');
    assert.equal(await probeRedis(first.port, undefined, 1_000), 'silent');
    await own.restart();
    assert.notEqual(own.server.pid, first.pid);
    assert.equal(own.server.url, first.url);
    assert.equal(await ask(own.server.url, 'LLEN jobs'), ':3\r\n');
  });

  it('a taken port is reported in one line that names the process', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const { port } = squatter.address() as AddressInfo;
    const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-servers-'));
    try {
      await assert.rejects(startRedis({ dataDir: path.join(folder, 'redis'), port }), (error: Error) => {
        assert.match(
          error.message,
          new RegExp(`^[^\\n]*port ${port} is taken by process ${process.pid} \\(node[^\\n]*$`),
        );
        return true;
      });
    } finally {
      squatter.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('Redis writes to disk before it answers, and evicts nothing', async () => {
    for (const [name, value] of [
      ['bind', '127.0.0.1'],
      ['appendonly', 'yes'],
      ['appendfsync', 'always'],
      ['maxmemory-policy', 'noeviction'],
    ] as const) {
      assert.match(await ask(own.server.url, `CONFIG GET ${name}`), new RegExp(`\r\n${value}\r\n$`));
    }
  });

  it('Redis demands its password, which no other user of the machine can read', async () => {
    const { server } = own;
    const stranger = new URL(server.url);
    stranger.password = 'guessed';
    assert.match(await ask(stranger.href, 'LLEN jobs'), /WRONGPASS[^]*NOAUTH/);
    assert.equal(await probeRedis(server.port, 'guessed', 5_000), 'silent');
    for (const file of [`${server.dataDir}.password`, `${server.dataDir}.conf`]) {
      assert.equal(statSync(file).mode & 0o777, 0o600);
    }
    const command = await commandLine(server.pid);
    assert.equal(command?.includes(new URL(server.url).password), false);
  });

  it('a second Redis server on the same data is refused, or replaces the first', async () => {
    const { dataDir, port, pid } = own.server;
    await assert.rejects(startRedis({ dataDir }), { code: 'redis.already_running' });
    await own.restart({ replaceRunning: true });
    assert.equal(own.server.port, port);
    assert.notEqual(own.server.pid, pid);
    await own.server.stop();
    await own.server.stop();
    assert.equal(await stopRedis(dataDir), false);
    await own.restart();
  });

  it('a left-behind Redis is found and stopped; a test server ends with its parent', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-servers-'));
    try {
      const dataDir = path.join(folder, 'redis');
      const guarded = (await runAndKill(`
        const { startRedis } = await import(${JSON.stringify(import.meta.resolve('./server.ts'))});
        const { testRedis } = await import(${JSON.stringify(import.meta.resolve('../testing/redis.ts'))});
        await startRedis({ dataDir: ${JSON.stringify(dataDir)} });
        const { pid, startTime, dataDir } = (await testRedis()).server;
        await say({ pid, startTime, dataDir });`)) as ProcessIdentity & { dataDir: string };
      assert.equal(await waitForEnd(guarded, 20_000), true);
      await until('its folder is removed', () => !existsSync(path.dirname(guarded.dataDir)));
      const left = await findRunningRedis(dataDir);
      assert.ok(left, 'the server outlives its parent');
      assert.equal(await stopRedis(dataDir), true);
      assert.equal(await isAlive(left), false);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('a taken port fails the start of Redis with one clear error', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-servers-'));
    try {
      const dataDir = path.join(folder, 'redis');
      await assert.rejects(startRedis({ dataDir, port: own.server.port }), { code: 'redis.start_failed' });
      assert.match(readFileSync(`${dataDir}.log`, 'utf8'), /Address already in use/);
      assert.equal(existsSync(`${dataDir}.password`), true);
      assert.equal(await findRunningRedis(dataDir), undefined);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('an absent redis-server is reported in one line that says what to install', async () => {
    await assert.rejects(findRedis({ toolsDir: '/dev/null/tools', searchPath: '' }), (error: Error) => {
      assert.match(error.message, /install the package "redis-server"/);
      assert.equal(error.message.includes('\n'), false);
      return 'code' in error && error.code === 'redis.absent';
    });
  });
});
