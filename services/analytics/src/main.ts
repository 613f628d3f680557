/** One analytics node as a process. */
import { createLog, main, run } from '@thermomesh/runtime';
import { readNodeConfig, settingsOf } from './config.ts';
import { createService } from './service.ts';

await main(async () => {
  const config = readNodeConfig();
  const log = createLog(`analytics-${config.NODE_ID}`, config.LOG_LEVEL);
  const service = await createService(settingsOf(config), log);
  await run(service, { log, stopTimeoutMs: config.STOP_TIMEOUT_MS });
  process.send?.({ ready: true, httpPort: service.httpPort });
});
