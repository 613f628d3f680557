/** The card processor put together: ledger, faults, HTTP. Tests use the same composition. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import {
  createGatekeeper,
  createHealth,
  createMetrics,
  listen,
  type Log,
  type Service,
} from '@thermomesh/runtime';
import { openLedgerFile } from './adapters/ledger-file.ts';
import type { Config } from './config.ts';
import type { Entry } from './core/book.ts';
import { Faults } from './core/faults.ts';
import { createProcessorApp } from './http/app.ts';
import { createProcessor } from './processor.ts';

export interface ProcessorService extends Service {
  /** The port that HTTP listens on; known once started. */
  readonly httpPort: number;
}

export async function createService(config: Config, log: Log): Promise<ProcessorService> {
  mkdirSync(config.DATA_DIR, { recursive: true });
  const ledger = await openLedgerFile<Entry>(path.join(config.DATA_DIR, 'charges.log'));
  if (ledger.tornBytes > 0) log.warn({ event: 'ledger.torn_line_cut', tornBytes: ledger.tornBytes });
  const health = createHealth();
  const stopping = new AbortController();
  const app = await createProcessorApp(
    {
      log,
      health,
      metrics: createMetrics(),
      gatekeeper: createGatekeeper(config.PROCESSOR_SECRET, undefined),
    },
    {
      processor: createProcessor(ledger, Date.now),
      faults: new Faults(config.FAULT_SEED),
      crash: () => process.kill(process.pid, 'SIGKILL'),
      stopping: stopping.signal,
    },
  );
  let httpPort = 0;
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    health.close();
    stopping.abort();
    await app.close();
    await ledger.close();
  }
  return {
    get httpPort() {
      return httpPort;
    },
    async start() {
      httpPort = Number(new URL(await listen(app, config.HTTP_HOST, config.HTTP_PORT)).port);
      log.info({ event: 'processor.listening', httpPort, entries: ledger.entries.length });
    },
    stop: () => (stopped ??= stop()),
  };
}
