import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { codeOf, messageOf } from '@thermomesh/runtime';
import { loadConfig, simulateConfig } from './config.ts';

const env = { MESH_SECRET: 's'.repeat(40) };
const needed = ['--mqtt-url', 'mqtt://127.0.0.1:1884', '--ledger', 'l'];
const issuesOf = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    assert.equal(codeOf(error), 'config.invalid');
    return messageOf(error);
  }
  return assert.fail('no issue was found');
};

describe('arguments', () => {
  it('arguments have defaults, and every run gets an id of its own', () => {
    const one = loadConfig(needed, env);
    assert.deepEqual(
      [one.host, one.port, one.devices, one.rate, one.qos, one.window, one.json],
      ['127.0.0.1', 1884, 100, 1000, 1, 20, false],
    );
    assert.match(one.runId, /^[a-z0-9]{1,24}$/);
    assert.notEqual(one.runId, loadConfig(needed, env).runId);
    assert.equal(loadConfig([...needed, '--json'], env).json, true);
  });

  it('all invalid arguments are reported at once', () => {
    const message = issuesOf(() =>
      loadConfig(['--mqtt-url', 'http://x', '--rate', 'fast', '--qos', '2', '--devices', '0'], {}),
    );
    for (const name of ['MESH_SECRET', 'mqtt-url', 'rate', 'qos', 'devices', 'ledger'])
      assert.ok(message.includes(name), name);
  });

  it('arguments must fit one another', () => {
    assert.match(
      issuesOf(() => loadConfig([...needed, '--burst', '50'], env)),
      /burst 50 must not exceed window 20/,
    );
    assert.match(
      issuesOf(() => loadConfig([...needed, '--qos', '0', '--poison-ratio', '0.1'], env)),
      /poison-ratio needs qos 1/,
    );
    assert.match(
      issuesOf(() => loadConfig([...needed, '--storm-seconds', '20', '--offline-ratio', '0.1'], env)),
      /must not exceed seconds 10[^]*exclude each other/,
    );
    const fleet = ['--mqtt-url', 'mqtt://h', '--state', 'f'];
    assert.match(
      issuesOf(() => simulateConfig([...fleet, '--prefix', 'a/b'], env)),
      /makes no device ids/,
    );
    assert.match(
      issuesOf(() => simulateConfig([...fleet, '--kept-readings-max', '5'], env)),
      /must not be below window/,
    );
    assert.equal(simulateConfig(fleet, env).port, 1883);
  });

  it('unknown arguments are refused', () => {
    assert.match(
      issuesOf(() => loadConfig([...needed, '--divices', '3'], env)),
      /--divices/,
    );
  });
});
