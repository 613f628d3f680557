import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, it } from 'node:test';
import { commandLine, identify, isAlive, signalProcess, waitForEnd } from './processes.ts';

describe('processes', () => {
  it('a process that got the pid of a dead one is recognised as another process', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)', 'marker'], {
      stdio: 'ignore',
    });
    const identity = await identify(child.pid ?? 0);
    assert.ok(identity);
    assert.match((await commandLine(identity.pid)) ?? '', /marker$/);
    const stranger = { ...identity, startTime: `${identity.startTime}0` };
    assert.equal(await isAlive(stranger), false);
    assert.equal(await signalProcess(stranger, 'SIGKILL'), false);
    assert.equal(await isAlive(identity), true);
    assert.equal(await signalProcess(identity, 'SIGKILL'), true);
    assert.equal(await waitForEnd(identity, 10_000), true);
    assert.equal(await commandLine(identity.pid), undefined);
  });

  it('pids that stand for process groups identify no process', async () => {
    for (const pid of [-1, 0, 1, 1.5, Number.NaN]) assert.equal(await identify(pid), undefined);
  });
});
