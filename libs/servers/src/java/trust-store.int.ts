import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { getCACertificates } from 'node:tls';
import { promisify } from 'node:util';
import { searchPath, toolsDirDefault } from '../config.ts';
import { findJava } from './runtime.ts';
import { ensureTrustStore } from './trust-store.ts';

it('Java reads every certificate that Node trusts', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-trust-'));
  try {
    const file = await ensureTrustStore(path.join(folder, 'truststore'));
    const { home, env } = await findJava({ toolsDir: toolsDirDefault, searchPath: searchPath() });
    const args = ['-list', '-keystore', file, '-storepass', 'changeit'];
    const { stdout } = await promisify(execFile)(path.join(home, 'bin', 'keytool'), args, { env });
    const certificates = new Set([...getCACertificates('default'), ...getCACertificates('system')]);
    assert.match(stdout, new RegExp(`contains ${certificates.size} entries`));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
