import { it } from 'node:test';
import { createGatekeeper, createHealth, createLog, createMetrics } from '@thermomesh/runtime';
import { createAnalyticsApp } from './app.ts';
import type { RouteDeps } from './deps.ts';

it('libs/contracts has this node’s document; npm run openapi writes it again', async (t) => {
  const app = await createAnalyticsApp(
    {
      log: createLog('test', 'silent'),
      health: createHealth(),
      metrics: createMetrics({ defaults: false }),
      gatekeeper: createGatekeeper('a secret that no caller of this test knows', undefined),
    },
    {} as RouteDeps,
  );
  await app.ready();
  const url = new URL('../../../../libs/contracts/src/openapi/analytics.json', import.meta.url);
  t.assert.fileSnapshot(app.swagger(), url.pathname);
  await app.close();
});
