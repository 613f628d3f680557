/** One equalizer node as a process. */
import { createLog, main, run } from '@thermomesh/runtime';
import { nodeName, readEqualizerConfig, settingsOf } from './config.ts';
import { createService } from './service.ts';

await main(async () => {
  const config = readEqualizerConfig();
  const log = createLog(nodeName(config), config.LOG_LEVEL);
  const service = await createService(settingsOf(config), log);
  await run(service, { log, stopTimeoutMs: config.STOP_TIMEOUT_MS });
  process.send?.({ ready: true, httpPort: service.httpPort });
});
