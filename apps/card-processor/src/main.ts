/** The stand-in for a card processor, as a process. */
import { createLog, main, run } from '@thermomesh/runtime';
import { readProcessorConfig, settingsOf } from './config.ts';
import { createService } from './service.ts';

await main(async () => {
  const config = readProcessorConfig();
  const log = createLog('card-processor', config.LOG_LEVEL);
  const service = await createService(settingsOf(config), log);
  await run(service, { log, stopTimeoutMs: config.STOP_TIMEOUT_MS });
  process.send?.({ ready: true, httpPort: service.httpPort });
});
