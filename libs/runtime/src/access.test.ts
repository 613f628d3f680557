import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { createCallerGatekeeper, createGatekeeper, deriveToken, subjects, verifyToken } from './access.ts';
import { createApiKey, readApiKeys, revokeApiKey } from './api-keys.ts';
import { apiScopes } from './scopes.ts';

const secret = 'a secret of at least thirty-two characters';

describe('tokens', () => {
  it('a token is valid only for its own subject and secret', () => {
    const token = deriveToken(secret, subjects.device('d1'));
    assert.ok(verifyToken(secret, subjects.device('d1'), token));
    for (const [otherSecret, subject, other] of [
      [secret, subjects.device('d2'), token],
      [secret, subjects.node(1), token],
      [`${secret}!`, subjects.device('d1'), token],
      [secret, subjects.device('d1'), `${token}x`],
      [secret, subjects.device('d1'), ''],
    ] as const) {
      assert.equal(verifyToken(otherSecret, subject, other), false);
    }
  });
});

describe('API keys', () => {
  it('an API key is valid until it is revoked, and the file does not contain it', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'keys-'));
    try {
      const file = path.join(folder, 'keys.ndjson');
      const gatekeeper = createGatekeeper(secret, file);
      assert.equal(gatekeeper.scopesOf('tmk_000000000000_x'), undefined);
      const first = await createApiKey(file, ['read']);
      const second = await createApiKey(file, ['read', 'checkout']);
      assert.deepEqual(gatekeeper.scopesOf(first.key), ['read']);
      assert.deepEqual(gatekeeper.scopesOf(second.key), ['read', 'checkout']);
      assert.equal(gatekeeper.callerOf(second.key), `key:${second.id}`);
      assert.equal(gatekeeper.callerOf(`${second.key}x`), undefined);
      assert.equal(gatekeeper.scopesOf(`${first.key}x`), undefined);
      await revokeApiKey(file, first.id);
      assert.equal(gatekeeper.scopesOf(first.key), undefined);
      assert.deepEqual(gatekeeper.scopesOf(second.key), ['read', 'checkout']);
      assert.ok(!readFileSync(file, 'utf8').includes(second.key));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('a damaged line of the key file is reported and leaves the other keys valid', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'keys-'));
    try {
      const file = path.join(folder, 'keys.ndjson');
      const damaged: number[] = [];
      const gatekeeper = createGatekeeper(secret, file, (lines) => damaged.push(lines));
      const first = await createApiKey(file, ['read']);
      appendFileSync(file, '{"id":"torn');
      for (const line of ['null', '5', '[]', '{"id":"aaaaaaaaaaaa"}']) appendFileSync(file, `\n${line}`);
      const second = await createApiKey(file, ['read']);
      assert.deepEqual(
        [gatekeeper.scopesOf(first.key), gatekeeper.scopesOf(second.key)],
        [['read'], ['read']],
      );
      assert.equal(gatekeeper.scopesOf('tmk_aaaaaaaaaaaa_x'), undefined);
      assert.deepEqual(damaged, [5]);
      const listed = readApiKeys(file);
      assert.deepEqual([listed.keys.length, listed.damaged], [2, 5]);
      rmSync(file);
      assert.equal(gatekeeper.scopesOf(first.key), undefined);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('the operator token has all scopes, an empty bearer has none', () => {
    const gatekeeper = createGatekeeper(secret, undefined);
    assert.deepEqual(gatekeeper.scopesOf(deriveToken(secret, subjects.operator)), apiScopes);
    assert.equal(gatekeeper.callerOf(deriveToken(secret, subjects.operator)), 'operator');
    assert.equal(gatekeeper.scopesOf(''), undefined);
  });
});

it('a service is known under its own name only, with its own scopes', () => {
  const gatekeeper = createCallerGatekeeper(secret, { gateway: ['read', 'checkout'], shop: ['read'] });
  const token = (name: string) => deriveToken(secret, subjects.service(name));
  assert.equal(gatekeeper.callerOf(token('gateway')), 'gateway');
  assert.deepEqual(gatekeeper.scopesOf(token('shop')), ['read']);
  assert.equal(gatekeeper.callerOf(deriveToken(secret, subjects.operator)), 'operator');
  for (const bearer of ['', 'gateway', token('stranger'), deriveToken(secret, subjects.device('gateway'))])
    assert.equal(gatekeeper.callerOf(bearer), undefined);
});
