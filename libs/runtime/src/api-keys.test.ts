import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { createGatekeeper } from './access.ts';
import { createApiKey, readApiKeys, revokeApiKey, rotateApiKey } from './api-keys.ts';
import { sha256 } from './digests.ts';
import { keyUsePrecisionMs, readKeyUses } from './key-uses.ts';

const secret = 'a secret of at least thirty-two characters';
const folder = mkdtempSync(path.join(os.tmpdir(), 'api-keys-'));
after(() => rmSync(folder, { recursive: true }));

let files = 0;
/** A gatekeeper with a key file and a clock of its own. */
function gate() {
  const onUseUnrecorded = (error: unknown) => assert.fail(String(error));
  const onDamaged = (lines: number) => assert.fail(`${lines} lines are damaged`);
  const file = path.join(folder, `keys-${files++}.ndjson`);
  const clock = { ms: Date.now() };
  const keeper = createGatekeeper(secret, file, onDamaged, { now: () => clock.ms, onUseUnrecorded });
  return { file, clock, keeper, code: (key: string) => keeper.refusalOf?.(key)?.code };
}

describe('a key that is no longer valid', () => {
  it('a revoked key is refused at once, and only its holder learns why', async () => {
    const { file, keeper, code } = gate();
    const { id, key } = await createApiKey(file, ['read']);
    assert.deepEqual([keeper.scopesOf(key), code(key)], [['read'], undefined]);
    await revokeApiKey(file, id);
    assert.deepEqual([keeper.scopesOf(key), code(key)], [undefined, 'access.revoked_key']);
    assert.deepEqual([`tmk_${id}_guess`, `tmk_000000000000_x`, ''].map(code), Array(3).fill(undefined));
    await assert.rejects(revokeApiKey(file, id), { code: 'access.no_such_key', message: /it is revoked/ });
  });

  it('an expired key is refused, and told so', async () => {
    const { file, clock, keeper, code } = gate();
    const { key } = await createApiKey(file, ['read'], { label: 'grafana', expiresInMs: 60_000 });
    assert.deepEqual(keeper.scopesOf(key), ['read']);
    clock.ms += 61_000;
    assert.deepEqual([keeper.scopesOf(key), keeper.callerOf(key)], [undefined, undefined]);
    assert.equal(code(key), 'access.expired_key');
  });

  it('an expiry that cannot be parsed has passed', () => {
    const { file, code } = gate();
    const key = 'tmk_0123456789ab_x';
    const record = {
      id: '0123456789ab',
      sha256: sha256(key),
      scopes: ['read'],
      createdAt: '',
      expiresAt: '?',
    };
    appendFileSync(file, `${JSON.stringify(record)}\n`);
    assert.equal(code(key), 'access.expired_key');
  });

  it('a rotation that is written after a revocation does not undo it', async () => {
    const { file, keeper, code } = gate();
    const { id, key } = await createApiKey(file, ['read']);
    const line = readFileSync(file, 'utf8');
    await revokeApiKey(file, id);
    appendFileSync(file, line);
    assert.deepEqual([keeper.scopesOf(key), code(key)], [undefined, 'access.revoked_key']);
  });
});

it('a rotated key stays the same caller, and its old secret ends after the grace', async () => {
  const { file, clock, keeper, code } = gate();
  const old = await createApiKey(file, ['images'], { label: 'shop' });
  const rotated = await rotateApiKey(file, old.id, { graceMs: 3_600_000 });
  assert.notEqual(rotated.key, old.key);
  for (const key of [old.key, rotated.key]) assert.equal(keeper.callerOf(key), `key:${old.id}`);
  clock.ms += 3_700_000;
  assert.deepEqual([keeper.callerOf(rotated.key), keeper.callerOf(old.key)], [`key:${old.id}`, undefined]);
  assert.equal(code(old.key), 'access.rotated_key');
  await revokeApiKey(file, old.id);
  assert.deepEqual([old.key, rotated.key].map(code), ['access.revoked_key', 'access.revoked_key']);
  assert.equal(readApiKeys(file).keys[0]?.label, 'shop');
  assert.doesNotMatch(readFileSync(file, 'utf8'), /tmk_/);
});

it('a key of an earlier version stays valid', () => {
  const { file, keeper } = gate();
  const key = 'tmk_0123456789ab_x';
  const line = {
    id: '0123456789ab',
    sha256: sha256(key),
    scopes: ['read'],
    createdAt: '2026-01-01T00:00:00Z',
  };
  appendFileSync(file, `\n${JSON.stringify(line)}\n`);
  assert.deepEqual(keeper.scopesOf(key), ['read']);
});

it('the last use is recorded at most once a minute', async () => {
  const { file, clock, keeper } = gate();
  const { id, key } = await createApiKey(file, ['read']);
  const used = async (ms: number) => {
    const deadline = performance.now() + 20_000;
    while (readKeyUses(file).get(id) !== ms) {
      assert.ok(performance.now() < deadline, 'the use is never recorded');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const firstMs = clock.ms;
  keeper.scopesOf(key);
  await used(firstMs);
  clock.ms += keyUsePrecisionMs - 1;
  keeper.scopesOf(key);
  assert.equal(readKeyUses(file).get(id), firstMs);
  clock.ms += 1;
  keeper.scopesOf(key);
  await used(clock.ms);
});
