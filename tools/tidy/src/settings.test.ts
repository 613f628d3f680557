import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readText } from './repository.ts';
import { listFile, listOf, readSettingNames } from './settings/names.ts';

it('the list of settings has every setting of every program, and no other', async () =>
  assert.equal(
    readText(listFile),
    listOf(await readSettingNames()),
    'run: node tools/tidy/src/settings/names.ts',
  ));
