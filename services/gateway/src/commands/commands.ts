/** Composes the commands to devices: acceptance, delivery, acknowledgements and event streams. */
import type { CrashHook, Log, Metrics } from '@thermomesh/runtime';
import { codeOf } from '@thermomesh/runtime';
import { createPool } from '@thermomesh/sql';
import { createAcknowledgements } from './acknowledgements.ts';
import { createCommandStore } from './adapters/pg-command-store.ts';
import type { NewCommand } from './core/command.ts';
import type { AcceptResult, CommandStore, DeviceLinks } from './core/ports.ts';
import { createDelivery, type Delivery } from './delivery.ts';
import { createCommandStreams, type CommandStreams } from './events.ts';
import { createCommandMetrics } from './metrics.ts';
import type { CommandOptions } from './settings.ts';

/** The part of the commands that the routes use. */
export interface Commands {
  /** Stores a command, and has it delivered. */
  accept(command: Omit<NewCommand, 'expiry'> & Partial<Pick<NewCommand, 'expiry'>>): Promise<AcceptResult>;
  store: Pick<CommandStore, 'find' | 'list' | 'cancel'>;
  streams: CommandStreams;
  limits: Pick<CommandOptions, 'accept' | 'requestsPerMinuteMax' | 'retryAfterSeconds'>;
}

/** The commands with their lifecycle. */
export interface CommandService extends Commands {
  /** Never fails: a database that is away is asked again. */
  start(links: DeviceLinks): void;
  /** Delivers no more; called before the broker closes. */
  stop(): Promise<void>;
  /** Closes the connections; called after the last request has been answered. */
  close(): Promise<void>;
}

export interface CommandDeps {
  log: Log;
  metrics: Metrics;
  crash: CrashHook;
}

/** Nothing connects before `start`. */
export function createCommands(
  options: CommandOptions,
  { log, metrics, crash }: CommandDeps,
): CommandService {
  const { url, connectionsMax, timeoutMs } = options.sql;
  const pool = createPool({
    url,
    applicationName: 'thermomesh-commands',
    connectionsMax,
    connectTimeoutMs: timeoutMs,
    statementTimeoutMs: timeoutMs,
    durable: true,
  });
  const store = createCommandStore(pool);
  const counters = createCommandMetrics(metrics, { streams: () => streams.size, open: () => store.open() });
  const streams = createCommandStreams({
    store,
    ...options.streams,
    onError: (error) => counters.failed.inc({ code: codeOf(error) ?? 'unknown' }),
  });
  const { intervalMs: retryMs } = options.delivery;
  const acknowledgements = createAcknowledgements({ store, metrics: counters, log, retryMs });
  let delivery: Delivery | undefined;
  return {
    async accept(command) {
      const result = await store.accept(
        { expiry: { afterMs: options.expiresMs }, ...command },
        options.accept,
      );
      if (result.type === 'created') {
        crash('command.after-accept');
        counters.accepted.inc({ replayed: 'false' });
        delivery?.wake(command.deviceId);
      } else if (result.type === 'exists') counters.accepted.inc({ replayed: 'true' });
      return result;
    },
    store,
    streams,
    limits: options,
    start(links) {
      const own = createDelivery({
        store,
        links,
        metrics: counters,
        crash,
        log,
        limits: options.delivery,
        statementMs: timeoutMs,
        now: () => performance.now(),
      });
      delivery = own;
      links.onListening((deviceId) => own.wake(deviceId));
      links.onStatus((deviceId, payload) => acknowledgements.take(deviceId, payload));
      own.start();
    },
    async stop() {
      streams.close();
      await delivery?.stop();
      await acknowledgements.stop();
    },
    close: async () => pool.close(),
  };
}
