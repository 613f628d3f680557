import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readMeshConfig } from '../config.ts';
import { everyCommand, usageOf } from '../testing/usage.ts';
import { collectEnv } from './options.ts';
import { createProgram } from './program.ts';
import { maskPassword } from './view/table.ts';

describe('command line', () => {
  it('every subcommand has help and a --name option', async () => {
    for (const name of [
      'up',
      'down',
      'status',
      'load',
      'chaos',
      'payments',
      'equalize',
      'demo',
      'drain',
      'verify',
      'bench',
      'device',
      'device-token',
      'rejected',
      'kafka',
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

  it('wrong usage is refused before a command runs', async () => {
    for (const words of [
      ['up', '--nodes', '0'],
      ['device', 'reset', 'room-1', '--incarnation', '0'],
      ['up', '--mqtt-port', '65536'],
      ['rejected', 'list', '--limit', '0'],
      ['rejected', 'replay', '--reason'],
      ['device', 'delete'],
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
      ...['1e3', '0x10', '', ' 5 ', '-1', 'Infinity', '.5', '5.'].map((text) => ['load', '--seconds', text]),
      ...['1e3', '0x10', '', ' 5 ', '1.5', '9007199254740993'].map((text) => ['load', '--devices', text]),
      ['load', '--devices', '0'],
      ['status', 'surplus'],
      ['device', 'reset', 'room-1', 'surplus'],
      ['api-key', 'create', '--scopes', 'root'],
      ['api-key', 'create', '--label', ''],
      ...['90', '0d', '1w', '4000d', '-1d'].map((text) => ['api-key', 'create', '--expires-in', text]),
      ['api-key', 'rotate'],
      ['nonsense'],
    ]) {
      assert.notEqual(await usageOf(...words), 0, words.join(' '));
    }
  });

  it('a name that no device with a token can have is refused by name', async () => {
    const names = [
      'operator',
      'node-7',
      'operator-1',
      'thermomesh-drain',
      'a/b',
      '..',
      '',
      'é',
      'x'.repeat(65),
    ];
    const words = [
      ...names.map((name) => ['device', 'reset', name]),
      ...[...names, 'anonymous-1'].map((name) => ['device-token', name]),
    ];
    for (const each of words) {
      const program = createProgram(() => assert.fail('no mesh is opened'));
      const refused = program.parseAsync(each, { from: 'user' });
      await assert.rejects(
        refused,
        { code: 'usage', message: new RegExp(`"${each.at(-1)}"`) },
        each.join(' '),
      );
    }
  });

  it('a command of the same name as one for containers is not taken for it', async () => {
    const words = ['--target', 'compose', 'zk', 'delete', '/a'];
    const program = createProgram(() => assert.fail('no mesh is opened'));
    await assert.rejects(program.parseAsync(words, { from: 'user' }), {
      code: 'usage',
      message: /"delete" works on the local mesh only/,
    });
  });

  it('a variable for one process keeps everything after its first sign', () => {
    const first = collectEnv('gateway:DATA_DIR=1=2');
    assert.deepEqual(collectEnv('node-5:LOG_LEVEL=', collectEnv('gateway:TZ=x y', first)), {
      gateway: { DATA_DIR: '1=2', TZ: 'x y' },
      'node-5': { LOG_LEVEL: '' },
    });
  });

  it('a variable that a process does not have is refused with the name it resembles', () => {
    const refusals = {
      'gateway:MQTT_PROT=1': /gateway has no setting MQTT_PROT: did you mean MQTT_PORT\?/,
      'node-1:MQTT_PORT=1': /node-1 has no setting MQTT_PORT/,
      'gateway:WHATEVER=1': /gateway has no setting WHATEVER\.$/,
      'postgres:LOG_LEVEL=info': /postgres takes no variables/,
    };
    for (const [text, message] of Object.entries(refusals))
      assert.throws(() => collectEnv(text), { message });
  });

  it('a misspelt or invalid setting of the mesh is refused by name, with its value', () => {
    const env = {
      MQTT_PORT: 'abc',
      HTTP_PROT: '1',
      EVIDENCE_BYTES_MAX: '5',
      DATABASE_URL: 'mysql://u:hush@x',
    };
    assert.throws(
      () => readMeshConfig(env),
      (error: Error) => {
        assert.match(error.message, /^HTTP_PROT is not a setting: did you mean HTTP_PORT\?$/m);
        assert.match(error.message, /MQTT_PORT must be a whole number from 1 to 65535, not "abc"/);
        assert.match(error.message, /EVIDENCE_BYTES_MAX must be .*, not "5"/);
        assert.match(error.message, /DATABASE_URL must be a postgresql/);
        assert.doesNotMatch(error.message, /hush/);
        return true;
      },
    );
    assert.equal(readMeshConfig({ MQTT_PORT: '1884' }).mqttPort, 1884);
  });

  it('a misspelt command or flag is refused with the one it resembles', async () => {
    for (const [words, meant] of [
      [['statsu'], /Did you mean status\?/],
      [['status', '--jsn'], /Did you mean --json\?/],
      [['zk', 'gte', '/'], /Did you mean get\?/],
    ] as const) {
      const program = createProgram(() => assert.fail('no command runs'));
      let said = '';
      for (const command of [program, ...everyCommand(program)])
        command.exitOverride().configureOutput({ writeErr: (text) => (said += text) });
      await assert.rejects(program.parseAsync([...words], { from: 'user' }));
      assert.match(said, meant);
    }
  });

  it('variables that belong to one process do not reach all of them', () => {
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

  it('passwords are not shown', () => {
    assert.equal(maskPassword('postgresql://u:secret@127.0.0.1:1/d'), 'postgresql://u:***@127.0.0.1:1/d');
  });
});
