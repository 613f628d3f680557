import { it } from 'node:test';
import { createHealth, createLog, createMetrics } from '@thermomesh/runtime';
import { createAccess } from './access.ts';
import { createEqualizerApp } from './app.ts';
import type { AppDeps } from './deps.ts';

it('libs/contracts has this node’s document; npm run openapi writes it again', async (t) => {
  const app = await createEqualizerApp(
    {
      log: createLog('test', 'silent'),
      health: createHealth(),
      metrics: createMetrics({ defaults: false }),
      access: createAccess({ secret: 'a secret that no caller of this test knows', apiKeysFile: undefined }),
    },
    {} as AppDeps,
  );
  await app.ready();
  const url = new URL('../../../../libs/contracts/src/openapi/equalizer.json', import.meta.url);
  t.assert.fileSnapshot(app.swagger(), url.pathname);
  await app.close();
});
