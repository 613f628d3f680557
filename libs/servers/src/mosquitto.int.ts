import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { findMosquittoClients } from './mosquitto.ts';

it('absent mosquitto clients are reported in one line that says what to install', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-tools-'));
  try {
    // A device where the folder should be: no machine can unpack anything there.
    const found = await findMosquittoClients('/dev/null/tools', folder);
    assert.ok('missing' in found);
    assert.equal(found.missing.includes('\n'), false);
    assert.match(found.missing, /install the package "mosquitto-clients"/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
