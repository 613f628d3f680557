import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { until } from '@thermomesh/testing';
import { isDeepStrictEqual, promisify } from 'node:util';
import { findJavaServers } from '../java/jars.ts';
import { javaArguments, javaEnvironment } from '../java/arguments.ts';
import type { Member } from '../members.ts';
import { identify } from '../processes.ts';
import { testEnsemble, testZooKeeper, type TestEnsemble } from '../testing/java-servers.ts';
import { runAndKill } from '../testing/scripts.ts';
import { stopEnsemble } from './ensemble.ts';
import { fourLetterWord } from './probe.ts';
import { findRunningZooKeeper, startZooKeeper, stopZooKeeper, type ZooKeeperServer } from './server.ts';

const run = promisify(execFile);
const scratch = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-servers-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const commandTimeoutMs = 60_000;

/**
 * Runs one command of ZooKeeper's own command-line client, again while its connection breaks: the
 * servers hold a new election whenever the machine stalls for longer than they wait for each other.
 */
async function cli(hosts: string, ...args: string[]): Promise<string> {
  const java = await findJavaServers();
  const all = javaArguments(java, {
    heapMb: 64,
    scratchDir: path.join(scratch, 'cli'),
    mainClass: 'org.apache.zookeeper.ZooKeeperMain',
    args: ['-server', hosts, '-waitforconnection', ...args],
  });
  const options = { env: javaEnvironment(java), timeout: commandTimeoutMs };
  const deadline = Date.now() + commandTimeoutMs;
  for (let lost = false; ;) {
    try {
      return (await run(java.runtime.java, all, options)).stdout;
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      // A create that was answered into a broken connection has happened.
      if (lost && /Node already exists/.test(stderr)) return stdout;
      lost = /ConnectionLoss|Session expired|SessionExpired/.test(stderr + stdout);
      if (!lost || Date.now() > deadline) throw error;
    }
  }
}

describe('one ZooKeeper server', () => {
  let own: TestEnsemble;
  let only: Member<ZooKeeperServer>;
  before(async () => {
    own = await testZooKeeper();
    only = own.members[0] ?? assert.fail();
  });
  after(async () => own?.remove());

  it('answered writes survive kill -9 of ZooKeeper and a restart', async () => {
    await cli(own.hosts, 'create', '/kept', 'as-it-was');
    const first = only.server;
    await only.kill();
    assert.equal((await first.exited).signal, 'SIGKILL');
    assert.equal(await first.state(), undefined);
    await only.restart();
    await own.untilServing();
    assert.notEqual(only.server.pid, first.pid);
    assert.equal(only.server.host, first.host);
    assert.match(await cli(own.hosts, 'get', '/kept'), /^as-it-was$/m);
  });

  it('ZooKeeper listens on 127.0.0.1 only and answers only the words of probes', async () => {
    const { port } = only.server;
    assert.equal(await fourLetterWord(port, 'ruok', 10_000), 'imok');
    assert.match((await fourLetterWord(port, 'mntr', 10_000)) ?? '', /zk_server_state\tstandalone/);
    assert.match((await fourLetterWord(port, 'envi' as 'ruok', 10_000)) ?? '', /not in the whitelist/);
    const addresses = Object.values(os.networkInterfaces()).flatMap((list) => list ?? []);
    const outward = addresses.find(({ family, internal }) => family === 'IPv4' && !internal);
    if (outward === undefined) return;
    await assert.rejects(
      new Promise((resolve, reject) =>
        connect({ host: outward.address, port }, () => resolve(undefined)).once('error', reject),
      ),
      { code: 'ECONNREFUSED' },
    );
  });

  it('a second ZooKeeper on the same data is refused; a left-behind one is found', async () => {
    const { dataDir } = only.server;
    await assert.rejects(startZooKeeper({ dataDir }), { code: 'zookeeper.already_running' });
    assert.equal((await findRunningZooKeeper(dataDir))?.pid, only.server.pid);
    assert.equal(await stopEnsemble(path.dirname(dataDir)), 1);
    assert.equal(await stopZooKeeper(dataDir), false);
    await only.stop();
    await only.restart();
  });

  it('a ZooKeeper server that is still starting ends with its killed parent', async () => {
    const folder = path.join(scratch, 'orphan');
    const dataDir = path.join(folder, 'zk');
    const pid = (await runAndKill(`
      const { startZooKeeper } = await import(${JSON.stringify(import.meta.resolve('./server.ts'))});
      const { existsSync, readFileSync } = await import('node:fs');
      const folders = { dataDir: ${JSON.stringify(dataDir)}, scratchFolder: ${JSON.stringify(folder)} };
      void startZooKeeper({ ...folders, endWithParent: true });
      const pidFile = folders.dataDir + '.pid';
      while (!existsSync(pidFile)) await new Promise((resolve) => setTimeout(resolve, 1));
      await say(Number(readFileSync(pidFile, 'utf8')));`)) as number;
    await until('it ends', async () => (await identify(pid)) === undefined);
    await until('its folder is removed', () => !existsSync(folder));
  });

  it('absent Java or jars are reported in one line that says what to do', async () => {
    const toolsDir = '/dev/null/tools';
    for (const [options, code] of [
      [{ toolsDir, searchPath: '' }, 'java.absent'],
      [{ toolsDir }, 'java.jars_absent'],
    ] as const) {
      await assert.rejects(findJavaServers(options), (error: Error & { code?: string }) => {
        assert.equal(error.code, code);
        assert.match(error.message, /^[^\n]+ absent \([^\n]+\): [^\n]+$/);
        return true;
      });
    }
  });
});

describe('an ensemble of three', () => {
  let own: TestEnsemble;
  before(async () => {
    own = await testEnsemble({ tickTimeMs: 200 });
  });
  // Revives servers that the previous test has left dead or frozen.
  beforeEach(async () => {
    for (const member of own.members) {
      await member.resume();
      if ((await findRunningZooKeeper(member.server.dataDir)) === undefined) await member.restart();
    }
    await own.untilServing();
  });
  after(async () => own?.remove());

  const modes = async () =>
    Promise.all(own.members.map(async ({ server }) => (await server.state())?.mode ?? 'none'));
  const leader = async () => {
    let found: Member<ZooKeeperServer> | undefined;
    await until('an ensemble with a leader', async () => (found = await own.leader()) !== undefined);
    return found ?? assert.fail();
  };
  const othersThan = (member: Member<ZooKeeperServer>) => {
    const others = own.members.filter((each) => each !== member);
    return { others, hosts: others.map(({ host }) => host).join() };
  };

  it('an ensemble survives its leader, halts without a majority and heals', async () => {
    await cli(own.hosts, 'create', '/before', 'three');
    const first = await leader();
    await first.kill();
    const { others, hosts } = othersThan(first);
    await cli(hosts, 'create', '/between', 'two');
    const [second, last] = others as [Member<ZooKeeperServer>, Member<ZooKeeperServer>];
    await second.kill();
    // The server must report it: a server that is silent may only be slow.
    await until('the last one halts', async () =>
      /not currently serving/.test((await fourLetterWord(last.server.port, 'srvr', 10_000)) ?? ''),
    );
    // It comes up beside one other server: there is a majority again.
    await first.restart();
    await own.untilServing(2);
    await second.restart();
    await own.untilServing();
    assert.match(await cli(first.host, 'get', '/between'), /^two$/m);
    assert.match(await cli(second.host, 'get', '/before'), /^three$/m);
  });

  it('a frozen leader is replaced, and serves again when it thaws', async () => {
    const frozen = await leader();
    await frozen.pause();
    try {
      // The signal takes a moment: the server may still answer an earlier request.
      await until('another one leads', async () => (await leader()) !== frozen);
      await cli(othersThan(frozen).hosts, 'create', '/while-frozen', 'kept');
    } finally {
      await frozen.resume();
    }
    // Any of them may lead: the thawed server may win a later election.
    const whole = ['follower', 'follower', 'leader'];
    await until('three serve, one leads', async () => isDeepStrictEqual((await modes()).toSorted(), whole));
    assert.match(await cli(frozen.host, 'get', '/while-frozen'), /^kept$/m);
  });
});
