import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  identify,
  isAlive,
  signalProcess,
  sqlPatience,
  testPostgres,
  type ProcessIdentity,
} from '@thermomesh/servers';
import { createPool } from '@thermomesh/sql';
import { listProcesses, whileFrozen } from './freeze.ts';
import { until } from './until.ts';

const timeoutMs = 30_000;

async function childrenOf(parent: ProcessIdentity) {
  return (await listProcesses()).filter(({ ppid, state }) => ppid === parent.pid && state !== 'Z');
}

async function isStopped({ pid }: ProcessIdentity): Promise<boolean> {
  return (await listProcesses()).some((listed) => listed.pid === pid && listed.state === 'T');
}

/**
 * Bytes that have arrived on a connection to `port` and that the server has not read (proc_net(5)).
 */
function unreadBytes(port: number): number {
  const address = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const connections = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(address) === true && state === '01');
  return connections.reduce((sum, words) => sum + Number.parseInt(words[4]?.split(':')[1] ?? '0', 16), 0);
}

describe('a frozen PostgreSQL', () => {
  it('a frozen PostgreSQL answers on no connection, and continues where it was', async () => {
    const own = await testPostgres();
    const pool = createPool({
      ...sqlPatience,
      url: own.server.url,
      applicationName: 'freeze-test',
      connectionsMax: 1,
    });
    const backend = async () =>
      (await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid'))[0]?.pid ?? assert.fail();
    try {
      const pid = await backend();
      const victim = (await identify(own.server.pid)) ?? assert.fail('no postmaster');
      // Freezing the postmaster alone does not freeze the server: its children still answer.
      assert.equal(await whileFrozen(victim, { family: false, timeoutMs }, backend), pid);
      let answered = false;
      const answer = await whileFrozen(victim, { family: true, timeoutMs }, async () => {
        const children = await childrenOf(victim);
        assert.ok(children.some((child) => child.pid === pid));
        for (const child of children) assert.equal(child.state, 'T', `process ${child.pid} continues`);
        const asked = backend().finally(() => (answered = true));
        // Where the system shows it, the request has arrived and is unread.
        if (existsSync('/proc/net/tcp'))
          await until({ what: 'the question to arrive', timeoutMs, pollMs: 5 }, async () =>
            Promise.resolve(answered || unreadBytes(own.server.port) > 0),
          );
        assert.equal(answered, false);
        // Wrapped in an object, because a promise that is returned as it is would be awaited here.
        return { asked };
      });
      assert.equal(await answer.asked, pid);
      for (const child of await childrenOf(victim)) assert.notEqual(child.state, 'T');
    } finally {
      await pool.close();
      await own.remove();
    }
  });
});

describe('freezing a family', () => {
  /** Runs `work` with a parent process that has two children. */
  async function family(work: (parent: ProcessIdentity, children: ProcessIdentity[]) => Promise<void>) {
    const shell = spawn('sh', ['-c', 'sleep 1000 & sleep 1000 & wait; exit 0'], { stdio: 'ignore' });
    const parent = (await identify(shell.pid ?? 0)) ?? assert.fail('no parent');
    const children = await until({ what: 'two children', timeoutMs, pollMs: 5 }, async () => {
      const found = await Promise.all((await childrenOf(parent)).map(async ({ pid }) => identify(pid)));
      return found.length === 2 && found.filter((child) => child !== undefined);
    });
    try {
      await work(parent, children);
    } finally {
      for (const process of [parent, ...children]) await signalProcess(process, 'SIGKILL');
    }
  }

  it('a process that dies while frozen is left alone, and all others continue', async () => {
    await family(async (parent, children) => {
      const [first, second] = children;
      assert.ok(first !== undefined && second !== undefined);
      await whileFrozen(parent, { family: true, timeoutMs }, async () => {
        for (const process of [parent, first, second]) assert.ok(await isStopped(process));
        await signalProcess(first, 'SIGKILL');
        await until({ what: 'the child to end', timeoutMs, pollMs: 5 }, async () => !(await isAlive(first)));
      });
      for (const process of [parent, second])
        await until(
          { what: 'it to continue', timeoutMs, pollMs: 5 },
          async () => !(await isStopped(process)),
        );
      assert.ok((await isAlive(parent)) && (await isAlive(second)));
    });
  });

  it('no process stays frozen when the work fails', async () => {
    await family(async (parent, children) => {
      const failing = whileFrozen(parent, { family: true, timeoutMs }, async () =>
        Promise.reject(new Error('interrupted')),
      );
      await assert.rejects(failing, /interrupted/);
      for (const process of [parent, ...children])
        await until(
          { what: 'it to continue', timeoutMs, pollMs: 5 },
          async () => !(await isStopped(process)),
        );
    });
  });

  it('a victim that is gone is missed, and a reused pid is left alone', async () => {
    await family(async (parent) => {
      const stranger = { ...parent, startTime: `${parent.startTime}0` };
      const missed = whileFrozen(stranger, { family: true, timeoutMs }, async () => assert.fail('it worked'));
      await assert.rejects(missed, { code: 'chaos.missed' });
      assert.equal(await isStopped(parent), false);
    });
  });
});
