import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { createGatekeeper } from './access.ts';
import { createApiKey, revokeApiKey } from './api-keys.ts';
import { createHealth } from './health.ts';
import { createHttpApp, type HttpApp } from './http.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'key-access-'));
const file = path.join(folder, 'keys.ndjson');

let app: HttpApp;

before(async () => {
  app = await createHttpApp({
    title: 'test',
    version: '1',
    log: createLog('test', 'silent'),
    health: createHealth(),
    metrics: createMetrics({ defaults: false }),
    gatekeeper: createGatekeeper('a secret of at least thirty-two characters', file),
  });
  app.get('/v1/rare', { config: { access: 'admin' } }, async () => ({}));
});
after(async () => {
  await app.close();
  rmSync(folder, { recursive: true });
});

async function ask(bearer: string) {
  const headers = { authorization: `Bearer ${bearer}` };
  const answer = await app.inject({ method: 'GET', url: '/v1/rare', headers });
  const { code, detail, allowed } = answer.json<Record<string, unknown>>();
  return { status: answer.statusCode, code, detail, allowed };
}

it('a key without the scope of a route learns which one is missing', async () => {
  const { key } = await createApiKey(file, ['read', 'images']);
  assert.deepEqual(await ask(key), {
    status: 403,
    code: 'access.scope',
    detail: 'this key lacks the scope "admin": it has read, images',
    allowed: ['admin'],
  });
});

it('the holder of a revoked key learns it; a wrong secret is an unknown key', async () => {
  const { id, key } = await createApiKey(file, ['admin']);
  assert.equal((await ask(key)).status, 200);
  await revokeApiKey(file, id);
  const revoked = await ask(key);
  assert.deepEqual([revoked.status, revoked.code], [401, 'access.revoked_key']);
  const never = await ask('tmk_000000000000_x');
  assert.deepEqual(await ask(`tmk_${id}_x`), never);
  assert.deepEqual([never.status, never.code], [401, 'access.unknown_key']);
});
