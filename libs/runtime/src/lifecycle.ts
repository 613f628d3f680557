/** The start and the end of every process. */
import closeWithGrace from 'close-with-grace';
import { startErrorText } from './errors.ts';
import type { Log } from './log.ts';

/** A part that is started once and can be stopped any number of times. */
export interface Service {
  start(): Promise<void>;
  /** Turns readiness off, stops intake, finishes work in flight, closes. Idempotent. */
  stop(): Promise<void>;
}

export interface RunOptions {
  log: Log;
  /** Maximum duration of `stop`; then the process ends anyway. */
  stopTimeoutMs: number;
}

/**
 * Starts a service and stops it on SIGTERM, SIGINT or an uncaught error. The exit code is 0 only
 * after a graceful shutdown.
 */
export async function run(service: Service, { log, stopTimeoutMs }: RunOptions): Promise<void> {
  closeWithGrace({ delay: stopTimeoutMs, logger: false }, async ({ signal, err }) => {
    if (err) log.fatal({ event: 'process.crashed', err });
    else log.info({ event: 'process.stopping', signal });
    await service.stop();
    log.info({ event: 'process.stopped' });
  });
  // A write error to a dead supervisor or a closed pipe must not end the process.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  try {
    await service.start();
  } catch (error) {
    log.fatal({ event: 'process.start_failed', err: error }, startErrorText(error));
    await service.stop();
    process.exit(1);
  }
  log.info({ event: 'process.started' });
}

/**
 * Runs the wiring of a `main.ts`. An error, such as an issue of the configuration, is printed for
 * people and ends the process with exit code 2.
 */
export async function main(wire: () => Promise<void>): Promise<void> {
  try {
    await wire();
  } catch (error) {
    console.error(startErrorText(error));
    process.exit(2);
  }
}
