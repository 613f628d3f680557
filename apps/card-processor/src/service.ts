/** Composes the card processor: ledger, faults, HTTP. Tests use the same composition. */
import path from 'node:path';
import {
  createGatekeeper,
  createHealth,
  createMetrics,
  listen,
  makeDurableFolder,
  type Log,
  type Service,
} from '@thermomesh/runtime';
import { openLedgerFile } from './adapters/ledger-file.ts';
import type { ProcessorSettings } from './config.ts';
import type { Entry } from './core/book.ts';
import { Faults } from './core/faults.ts';
import { createProcessorApp } from './http/app.ts';
import { createProcessor } from './processor.ts';

/** A running card processor. */
export interface ProcessorService extends Service {
  /** The port that HTTP listens on; known once the service has started. */
  readonly httpPort: number;
}

/** Opens the ledger and creates the service; it is not started. */
export async function createService(settings: ProcessorSettings, log: Log): Promise<ProcessorService> {
  const { dataDir, http } = settings;
  makeDurableFolder(dataDir);
  const ledger = await openLedgerFile<Entry>(path.join(dataDir, 'charges.log'));
  if (ledger.tornBytes > 0) log.warn({ event: 'ledger.torn_line_cut', tornBytes: ledger.tornBytes });
  const health = createHealth();
  const stopping = new AbortController();
  const app = await createProcessorApp(
    {
      log,
      health,
      metrics: createMetrics(),
      gatekeeper: createGatekeeper(settings.secret, undefined),
    },
    {
      processor: createProcessor(ledger, Date.now),
      faults: new Faults(settings.faultSeed),
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
      httpPort = Number(new URL(await listen(app, http.host, http.port)).port);
      log.info({ event: 'processor.listening', httpPort, entries: ledger.entries.length });
    },
    stop: () => (stopped ??= stop()),
  };
}
