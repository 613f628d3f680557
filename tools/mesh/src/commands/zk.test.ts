import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CommanderError, type Command } from 'commander';
import { createProgram } from '../program.ts';
import { readMeshConfig } from '../config.ts';
import { findZooKeeper, needZooKeeper, readCredentials } from '../zk/place.ts';

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

describe('mesh zk on the command line', () => {
  it('every subcommand explains itself', async () => {
    for (const name of ['tree', 'get', 'set', 'create', 'delete', 'watch', 'stat', 'kafka'])
      assert.equal(await usageOf('zk', name, '--help'), 0, name);
    for (const name of ['herd', 'philosophers']) assert.equal(await usageOf('demo', name, '--help'), 0, name);
  });

  it('wrong usage is refused before anything is connected', async () => {
    for (const words of [
      ['zk', 'get'],
      ['zk', 'get', '/x', '--format', 'xml'],
      ['zk', 'set', '/x', 'y', '--version', '-1'],
      ['zk', 'create', '/x', '--acl', 'mine'],
      ['zk', 'watch', '/x', '--count', '0'],
      ['zk', 'delete', '/x', '--force'],
      ['demo', 'herd', '--nodes', '1'],
      ['demo', 'philosophers', '--seconds', '0'],
    ]) {
      assert.notEqual(await usageOf(...words), 0, words.join(' '));
    }
  });
});

describe('which ZooKeeper', () => {
  const config = { ...readMeshConfig({}), home: '/nowhere' };

  it('what is asked for comes first, then the environment; without any, one line says what to do', () => {
    const configured = { ...config, zookeeperHosts: 'b:1' };
    assert.equal(findZooKeeper(configured, { name: 'main', hosts: 'a:1/x' })?.hosts, 'a:1/x');
    assert.equal(findZooKeeper(configured, { name: 'main' })?.hosts, 'b:1');
    assert.throws(() => needZooKeeper(config, { name: 'main' }), {
      code: 'zookeeper.absent',
      message: /^[^\n]*mesh up[^\n]*--hosts[^\n]*$/,
    });
    assert.throws(() => needZooKeeper(config, { name: 'main', hosts: 'a' }), { code: 'usage' });
  });

  it('a-secret-typed-on-the-command-line-is-refused-and-not-repeated', () => {
    assert.throws(
      () => readCredentials(config, 'main', 'me:secret'),
      (error: Error) => !error.message.includes('secret') || assert.fail(error.message),
    );
  });
});
