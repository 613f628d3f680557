/** One billing replica as a process. */
import { createLog, main, run } from '@thermomesh/runtime';
import { readBillingConfig, settingsOf } from './config.ts';
import { createService } from './service.ts';

await main(async () => {
  const config = readBillingConfig();
  const log = createLog(config.REPLICA, config.LOG_LEVEL);
  const service = await createService(settingsOf(config), log);
  await run(service, { log, stopTimeoutMs: config.STOP_TIMEOUT_MS });
  process.send?.({ ready: true, httpPort: service.httpPort });
});
