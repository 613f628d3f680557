import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CommanderError, type Command } from 'commander';
import { collectEnv } from './commands/options.ts';
import { readMeshConfig } from './config.ts';
import { createProgram } from './program.ts';
import { maskPassword } from './view/table.ts';

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

async function usageOf(...words: string[]): Promise<number> {
  const program = createProgram(() => assert.fail('no subcommand may run'));
  for (const command of everyCommand(program)) {
    command.exitOverride().configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
  }
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    assert.ok(error instanceof CommanderError, String(error));
    return error.exitCode;
  }
  return assert.fail('nothing was refused');
}

describe('command line', () => {
  it('every-subcommand-has-help-and-a-name-option', async () => {
    for (const name of [
      'up',
      'down',
      'status',
      'load',
      'chaos',
      'payments',
      'equalize',
      'demo',
      'verify',
      'bench',
      'device-token',
      'api-key',
    ]) {
      assert.equal(await usageOf(name, '--help'), 0, name);
    }
    const program = createProgram(() => assert.fail());
    for (const command of everyCommand(program)) {
      assert.notEqual(command.description(), '', command.name());
      const runs = command.commands.length === 0;
      assert.equal(
        command.options.some(({ long }) => long === '--name'),
        runs,
        command.name(),
      );
    }
  });

  it('wrong-usage-is-refused-before-anything-happens', async () => {
    for (const words of [
      ['up', '--nodes', '0'],
      ['up', '--mqtt-port', '65536'],
      ['up', '--env', 'gateway'],
      ['load', '--qos', '2'],
      ['load', '--rate', '-1'],
      ['up', '--without', 'telemetry'],
      ['up', '--zookeeper', '2'],
      ['up', '--kafka', '5'],
      ['up', '--election', 'paxos'],
      ['payments', '--uuids', '0'],
      ['payments', '--seed', '-1'],
      ['equalize', 'in.png', '--mode', 'sepia'],
      ['equalize', 'in.png', '--page', '-1'],
      ['up', '--equalizers', '0'],
      ['demo', 'nothing'],
      ['demo', 'rpc-semantics', '--loss', '1'],
      ['chaos'],
      ['chaos', 'everything'],
      ['chaos', 'coordinator', '--signal', 'HUP'],
      ['chaos', 'coordinator', '--partition', '1/2'],
      ['chaos', 'gateway', '2'],
      ['chaos', 'gateway', '--seed', '2'],
      ['chaos', '--partition', '1,2'],
      ['chaos', '--cut', 'gateway'],
      ['chaos', '--cut', 'every:nodes', '--one-way', 'up'],
      ['chaos', '--cut', 'every:nodes', '--signal', 'TERM'],
      ['chaos', '--schedule', 'x.json', '--times', '2'],
      ['api-key', 'create', '--scopes', 'root'],
      ['nonsense'],
    ]) {
      assert.notEqual(await usageOf(...words), 0, words.join(' '));
    }
  });

  it('variables-for-one-process-keep-everything-behind-the-first-sign', () => {
    const first = collectEnv('gateway:A=1=2');
    assert.deepEqual(collectEnv('node-5:B=', collectEnv('gateway:C=x y', first)), {
      gateway: { A: '1=2', C: 'x y' },
      'node-5': { B: '' },
    });
  });

  it('variables-that-belong-to-one-process-do-not-reach-all', () => {
    const { environment, databaseUrl, redisUrl } = readMeshConfig({
      PATH: '/bin',
      CRASH_POINT: 'x',
      DATABASE_URL: 'postgresql://u:p@h/d',
      REDIS_URL: 'redis://:p@h:1/0',
      BILLING_SECRET: 'x',
      HTTP_PORT: '1',
    });
    assert.deepEqual(environment, { PATH: '/bin' });
    assert.equal(databaseUrl, 'postgresql://u:p@h/d');
    assert.equal(redisUrl, 'redis://:p@h:1/0');
    assert.throws(() => readMeshConfig({ DATABASE_URL: 'mysql://x' }), { code: 'config.invalid' });
    assert.throws(() => readMeshConfig({ REDIS_URL: 'http://x' }), { code: 'config.invalid' });
  });

  it('passwords-are-not-shown', () => {
    assert.equal(maskPassword('postgresql://u:secret@127.0.0.1:1/d'), 'postgresql://u:***@127.0.0.1:1/d');
  });
});
