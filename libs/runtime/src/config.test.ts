import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import Type from 'typebox';
import { readConfig } from './config.ts';
import { MeshError } from './errors.ts';

const schema = Type.Object({
  PORT: Type.Integer({ default: 80, minimum: 0, maximum: 65535 }),
  SECRET: Type.String({ minLength: 8 }),
  FAST: Type.Boolean({ default: false }),
  SHORT_MS: Type.Integer({ default: 1 }),
  LONG_MS: Type.Integer({ default: 2 }),
});
const crossChecks = (config: { SHORT_MS: number; LONG_MS: number }) =>
  config.SHORT_MS < config.LONG_MS ? [] : ['SHORT_MS must be below LONG_MS'];

describe('configuration', () => {
  it('settings are converted from text, and defaults are filled in', () => {
    const config = readConfig(schema, { PORT: '8080', SECRET: '12345678', FAST: 'true', OTHER: 'x' });
    assert.deepEqual({ ...config }, { PORT: 8080, SECRET: '12345678', FAST: true, SHORT_MS: 1, LONG_MS: 2 });
  });

  it('all issues of a configuration are reported at once', () => {
    assert.throws(
      () => readConfig(schema, { PORT: '70000', FAST: 'maybe' }),
      (error) => {
        assert.ok(error instanceof MeshError);
        assert.equal(error.code, 'config.invalid');
        for (const name of ['PORT', 'SECRET', 'FAST']) assert.match(error.message, new RegExp(name));
        return true;
      },
    );
  });

  it('a number that is not decimal is reported once, not read as another one', () => {
    for (const PORT of ['0x10', '0b1', ' 80', '80 ', '+80', 'Infinity', '8_0', '٨٠', 'eighty'])
      assert.throws(
        () => readConfig(schema, { PORT, SECRET: '12345678' }),
        {
          code: 'config.invalid',
          message: `configuration has 1 issue:\n  PORT must be a whole number from 0 to 65535, not ${JSON.stringify(PORT)}`,
        },
        PORT,
      );
    assert.equal(readConfig(schema, { PORT: '8e1', SECRET: '12345678' }).PORT, 80);
  });

  it('an invalid value is reported with the allowed ones, a secret without its value', () => {
    const levels = Type.Object({
      LOG_LEVEL: Type.String({ enum: ['info', 'warn'] }),
      GAP: Type.Union([Type.Literal('stop'), Type.Literal('accept')]),
      SECRET: Type.String({ minLength: 8 }),
      DATABASE_URL: Type.String({ pattern: '^postgres://', description: 'URL of the database.' }),
      NAME: Type.String({ description: 'Name of the mesh.' }),
    });
    const env = { LOG_LEVEL: 'loud', GAP: 'go', SECRET: 'hush', DATABASE_URL: 'x:hush@y' };
    assert.throws(() => readConfig(levels, env), {
      message:
        'configuration has 5 issues:\n' +
        '  NAME is required: Name of the mesh.\n' +
        '  LOG_LEVEL must be one of info, warn, not "loud"\n' +
        '  GAP must be one of stop, accept, not "go"\n' +
        '  SECRET must be a text of at least 8 characters\n' +
        '  DATABASE_URL must be valid (URL of the database.)',
    });
  });

  it('a misspelt variable is refused with the setting that it resembles', () => {
    const port = Type.Object({ MQTT_PORT: Type.Integer({ default: 1883 }) });
    assert.throws(
      () => readConfig(port, { MQTT_PROT: '1' }),
      /MQTT_PROT is not a setting: did you mean MQTT_PORT\?/,
    );
    assert.equal(readConfig(port, { MQTT_PROT: '1', MQTT_PORT: '2' }).MQTT_PORT, 2);
  });

  it('limits that do not fit together are reported', () => {
    assert.throws(
      () => readConfig(schema, { SECRET: '12345678', SHORT_MS: '9' }, crossChecks),
      /SHORT_MS must be below LONG_MS/,
    );
  });

  it('a secret is read from the file that NAME_FILE names; an absent file is reported', () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'config-'));
    try {
      const file = path.join(folder, 'secret');
      writeFileSync(file, 'from-a-file\n');
      assert.equal(readConfig(schema, { SECRET_FILE: file }).SECRET, 'from-a-file');
      assert.throws(
        () => readConfig(schema, { SECRET_FILE: `${file}.none` }),
        /SECRET_FILE names .* does not exist/,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('an empty variable counts as not set', () => {
    assert.equal(readConfig(schema, { SECRET: '12345678', PORT: '' }).PORT, 80);
  });
});
