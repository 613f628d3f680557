import assert from 'node:assert/strict';
import { it } from 'node:test';
import { findImageLibraries } from './libraries.ts';

it('absent image libraries are reported in one line that says what to install', async () => {
  const found = await findImageLibraries('/dev/null/tools', { PATH: '/nowhere' });
  assert.ok('missing' in found);
  assert.equal(found.missing.includes('\n'), false);
  assert.match(found.missing, /install python3, python3-pil, libvips-tools/);
});
