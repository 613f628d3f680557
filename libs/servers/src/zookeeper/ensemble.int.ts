import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { isDeepStrictEqual, promisify } from 'node:util';
import { findJavaServers } from '../java/jars.ts';
import { javaEnvironment, javaWords } from '../java/words.ts';
import type { Member } from '../members.ts';
import { identify } from '../processes.ts';
import { testEnsemble, testZooKeeper, type TestEnsemble } from '../test-java-servers.ts';
import { runAndKill, waitFor } from '../test-support.ts';
import { stopEnsemble } from './ensemble.ts';
import { fourLetterWord } from './probe.ts';
import { findRunningZooKeeper, startZooKeeper, stopZooKeeper, type ZooKeeperServer } from './server.ts';

const run = promisify(execFile);
const scratch = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-servers-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const commandTimeoutMs = 60_000;

/**
 * One command of ZooKeeper's own command line, given again while its connection breaks: servers elect anew whenever the machine
 * stalls for longer than they wait for each other.
 */
async function cli(hosts: string, ...words: string[]): Promise<string> {
  const java = await findJavaServers();
  const all = javaWords(java, {
    heapMb: 64,
    scratchDir: path.join(scratch, 'cli'),
    mainClass: 'org.apache.zookeeper.ZooKeeperMain',
    words: ['-server', hosts, '-waitforconnection', ...words],
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

  it('answered-writes-survive-kill-9-and-restart', async () => {
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

  it('only-this-machine-can-ask-and-only-the-words-that-probes-need', async () => {
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

  it('second-server-on-the-same-data-is-refused-and-one-left-behind-is-found', async () => {
    const { dataDir } = only.server;
    await assert.rejects(startZooKeeper({ dataDir }), { code: 'zookeeper.already_running' });
    assert.equal((await findRunningZooKeeper(dataDir))?.pid, only.server.pid);
    assert.equal(await stopEnsemble(path.dirname(dataDir)), 1);
    assert.equal(await stopZooKeeper(dataDir), false);
    await only.stop();
    await only.restart();
  });

  it('server-that-still-starts-and-its-folder-end-with-their-killed-parent', async () => {
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
    await waitFor(async () => (await identify(pid)) === undefined, 'it ends');
    await waitFor(() => !existsSync(folder), 'its folder is removed');
  });

  it('what-cannot-be-had-is-one-clear-line', async () => {
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
  // Whatever the test before has left dead or frozen.
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
    await waitFor(async () => (found = await own.leader()) !== undefined, 'somebody leads');
    return found ?? assert.fail();
  };
  const othersThan = (member: Member<ZooKeeperServer>) => {
    const others = own.members.filter((each) => each !== member);
    return { others, hosts: others.map(({ host }) => host).join() };
  };

  it('goes-on-without-its-leader-halts-with-one-server-left-and-heals', async () => {
    await cli(own.hosts, 'create', '/before', 'three');
    const first = await leader();
    await first.kill();
    const { others, hosts } = othersThan(first);
    await cli(hosts, 'create', '/between', 'two');
    const [second, last] = others as [Member<ZooKeeperServer>, Member<ZooKeeperServer>];
    await second.kill();
    // It says so itself: a server that says nothing may only be slow.
    await waitFor(
      async () =>
        /not currently serving/.test((await fourLetterWord(last.server.port, 'srvr', 10_000)) ?? ''),
      'the last one halts',
    );
    // It comes up beside one other: the majority is there again.
    await first.restart();
    await own.untilServing(2);
    await second.restart();
    await own.untilServing();
    assert.match(await cli(first.host, 'get', '/between'), /^two$/m);
    assert.match(await cli(second.host, 'get', '/before'), /^three$/m);
  });

  it('frozen-leader-is-replaced-and-serves-again-under-the-one-that-leads-then', async () => {
    const frozen = await leader();
    await frozen.pause();
    try {
      // A signal takes a moment: what it was asked just before, it may still answer.
      await waitFor(async () => (await leader()) !== frozen, 'another one leads');
      await cli(othersThan(frozen).hosts, 'create', '/while-frozen', 'kept');
    } finally {
      await frozen.resume();
    }
    // Which one leads is not promised: the thawed one may win a later election.
    const whole = ['follower', 'follower', 'leader'];
    await waitFor(async () => isDeepStrictEqual((await modes()).toSorted(), whole), 'three serve, one leads');
    assert.match(await cli(frozen.host, 'get', '/while-frozen'), /^kept$/m);
  });
});
