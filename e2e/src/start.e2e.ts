import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { LoadDocument, StatusDocument, VerifyDocument } from '@thermomesh/contracts';
import { until } from '@thermomesh/mesh/testing';
import { cliOf, ownServers } from './cli-support.ts';
import { repository } from './process-support.ts';
import { assertIntact, assertKept, waitMs } from './support.ts';

const bin = path.join(repository, 'tools/mesh/bin/mesh.mjs');
const lean = ['--nodes', '1', '--without', 'payments', 'coordination'];
/**
 * A locale whose small letter of I is not i, a zone of +14 hours, and a home that cannot be made.
 */
const odd = { LC_ALL: 'tr_TR.UTF-8', TZ: 'Pacific/Kiritimati', HOME: '/dev/null/no such home' };

let folder: string;
let home: string;
before(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-start-'));
  chmodSync(folder, 0o755);
  home = path.join(folder, 'a clone', '.mesh');
});
after(() => rmSync(folder, { recursive: true, force: true }));

const { document, json, refused } = cliOf(() => ownServers(home), { timeoutMs: 3 * waitMs });

/**
 * Starts the command in that environment, under umask 077, with a stdout whose reader has left
 * before the first byte.
 */
function unread(env: NodeJS.ProcessEnv, ...words: string[]) {
  const shell = ['-c', 'umask 077; exec "$@"', 'sh', process.execPath, bin, ...words];
  const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
  const child = spawn('/bin/sh', shell, { env: { ...ownServers(home), ...env }, stdio });
  child.stdout.destroy();
  const seen = { child: child as ChildProcess, stderr: '', ended: once(child, 'close') };
  child.stderr.on('data', (bytes: Buffer) => (seen.stderr += bytes.toString()));
  return seen;
}

const untilReady = async () =>
  until({ what: 'the mesh to be ready', timeoutMs: 2 * waitMs }, async () => {
    const status = await json(StatusDocument, 'status').catch(() => undefined);
    return status?.ready === true && status;
  });

describe('a start in an odd environment', () => {
  it('under umask 077, odd locale, zone and HOME the mesh starts and stores readings', async () => {
    const up = unread(odd, 'up', ...lean);
    await untilReady();
    assertIntact(await json(LoadDocument, 'load', '--devices', '5', '--rate', '50', '--seconds', '1'));
    for (const words of [['status'], ['load', '--seconds', '0.5'], ['chaos', 'node', '1']]) {
      const command = unread(odd, ...words);
      await command.ended;
      assert.doesNotMatch(command.stderr, /EPIPE|\n {4}at /, words.join(' '));
    }
    for (const name of ['secret', 'api-keys.ndjson', 'run.json', 'pg.password']) {
      const mode = statSync(path.join(home, 'main', name), { throwIfNoEntry: false })?.mode ?? 0o600;
      assert.equal(mode & 0o777, 0o600, name);
    }
    up.child.kill('SIGINT');
    assert.deepEqual(await up.ended, [0, null]);
    assert.doesNotMatch(up.stderr, /EPIPE|\n {4}at /);
  });

  it('folders that a start under umask 077 left closed are mended with their data', async () => {
    for (const each of [path.join(home, 'main'), home]) chmodSync(each, 0o700);
    const environment = { LC_ALL: 'C', TZ: 'Asia/Kathmandu', HOME: undefined };
    const up = unread(environment, 'up', ...lean);
    await untilReady();
    const { document: verdict } = await document(VerifyDocument, 'verify');
    assertKept(verdict, ['I1', 'I2', 'I6']);
    up.child.kill('SIGINT');
    await up.ended;
  });

  it('a taken port is named in one line, with the option and the process', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const { port } = squatter.address() as AddressInfo;
    try {
      const why = new RegExp(
        `port ${port} for HTTP \\(--http-port\\) is taken by process ${process.pid} \\(node`,
      );
      await refused(1, why, 'up', '--name', 'taken', ...lean, '--http-port', String(port));
      const gateway = spawn(process.execPath, [path.join(repository, 'services/gateway/src/main.ts')], {
        env: {
          ...process.env,
          MESH_SECRET: 'a-secret-of-a-test-that-is-long-enough',
          DATA_DIR: path.join(folder, 'gateway'),
          MQTT_PORT: '0',
          HTTP_PORT: String(port),
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let said = '';
      for (const stream of [gateway.stdout, gateway.stderr])
        stream.on('data', (bytes: Buffer) => (said += bytes.toString()));
      assert.notEqual((await once(gateway, 'close'))[0], 0);
      const lines = said.split('\n').filter((line) => line.includes('is taken by'));
      assert.equal(lines.length, 1, said);
      assert.match(
        said,
        new RegExp(`port ${port} \\(HTTP_PORT\\) is taken by process ${process.pid} \\(node`),
      );
    } finally {
      squatter.close();
    }
  });
});
