/** How every process starts and ends. */
import closeWithGrace from 'close-with-grace';
import { messageOf } from './errors.ts';
import type { Log } from './log.ts';

/** A part that can be started once and stopped any number of times. */
export interface Service {
  start(): Promise<void>;
  /** Readiness off → stop intake → finish what is in flight → close. Idempotent. */
  stop(): Promise<void>;
}

export interface RunOptions {
  log: Log;
  /** How long `stop` may take before the process ends all the same. */
  stopTimeoutMs: number;
}

/**
 * Starts a service and stops it on SIGTERM, SIGINT or an uncaught error; the exit code is 0 only for an orderly stop.
 */
export async function run(service: Service, { log, stopTimeoutMs }: RunOptions): Promise<void> {
  closeWithGrace({ delay: stopTimeoutMs, logger: false }, async ({ signal, err }) => {
    if (err) log.fatal({ event: 'process.crashed', err });
    else log.info({ event: 'process.stopping', signal });
    await service.stop();
    log.info({ event: 'process.stopped' });
  });
  // Writing to a supervisor or a pipe that has died is no reason to die too.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  try {
    await service.start();
  } catch (error) {
    log.fatal({ event: 'process.start_failed', err: error }, messageOf(error));
    await service.stop();
    process.exit(1);
  }
  log.info({ event: 'process.started' });
}

/** The wiring of a `main.ts`: configuration faults are printed for people and end the process with 2. */
export async function main(wire: () => Promise<void>): Promise<void> {
  try {
    await wire();
  } catch (error) {
    console.error(messageOf(error));
    process.exit(2);
  }
}
