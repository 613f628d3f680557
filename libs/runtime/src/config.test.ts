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
        { code: 'config.invalid', message: 'configuration has 1 issue:\n  PORT must be a decimal number' },
        PORT,
      );
    assert.equal(readConfig(schema, { PORT: '8e1', SECRET: '12345678' }).PORT, 80);
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
