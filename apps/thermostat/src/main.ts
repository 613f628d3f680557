/**
 * Two programs: `simulate` plays a fleet, `load` sends readings at a chosen rate; see the README.
 */
import { codeOf, createLog, messageOf, run } from '@thermomesh/runtime';
import { loadConfig, simulateConfig } from './config.ts';
import { printSummary, watchProgress } from './load/print.ts';
import { thermostatError } from './core/errors.ts';
import { startLoad } from './load/service.ts';
import { createFleet } from './simulate/service.ts';

/** A graceful shutdown that hangs is ended this long after its own time limit. */
const stopGraceMs = 10_000;
const [program, ...args] = process.argv.slice(2);

// A reader that goes away ends no run: the ledger is more than what is printed.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') throw error;
});

async function load(): Promise<void> {
  const { json, ...options } = loadConfig(args);
  const progress = watchProgress(options.runId, process.stderr);
  const running = startLoad(options, {
    onReady(ledger) {
      process.send?.({ ready: true, runId: options.runId, ledger });
    },
    onProgress: progress,
  });
  // A second signal also ends the wait for acknowledgements.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => running.stop());
  printSummary(await running.done, json, process.stdout);
  if (process.connected) process.disconnect();
}

async function simulate(): Promise<void> {
  const options = simulateConfig(args);
  const log = createLog('fleet', options.logLevel);
  await run(createFleet(options, log), { log, stopTimeoutMs: options.stopTimeoutMs + stopGraceMs });
  process.send?.({ ready: true });
}

try {
  if (program === 'load') await load();
  else if (program === 'simulate') await simulate();
  else throw thermostatError('config.invalid', 'usage: main.ts simulate|load …, each with --help');
} catch (error) {
  const code = codeOf(error);
  console.error(
    code?.startsWith('config.') === true ? messageOf(error) : `${code ?? 'failed'}: ${messageOf(error)}`,
  );
  process.exit(code === 'config.help' ? 0 : code === 'config.invalid' ? 2 : 1);
}
