/** The process that runs the links of a mesh. */
import { createLog, main, run } from '@thermomesh/runtime';
import { linksOptions, readLinksConfig } from './config.ts';
import { createLinksService } from './service.ts';

await main(async () => {
  const config = readLinksConfig();
  const log = createLog('links', config.LOG_LEVEL);
  const service = await createLinksService(linksOptions(config), log);
  await run(service, { log, stopTimeoutMs: config.STOP_TIMEOUT_MS });
  process.send?.({ ready: true });
});
