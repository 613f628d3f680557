/** The gateway as a process. */
import { createLog, main, run } from '@thermomesh/runtime';
import { readGatewayConfig, settingsOf } from './config.ts';
import { createService } from './service.ts';

await main(async () => {
  const config = readGatewayConfig();
  const log = createLog('gateway', config.LOG_LEVEL);
  const service = createService(settingsOf(config), log);
  await run(service, { log, stopTimeoutMs: config.STOP_TIMEOUT_MS });
  process.send?.({ ready: true, mqttPort: service.mqttPort, httpPort: service.httpPort });
});
