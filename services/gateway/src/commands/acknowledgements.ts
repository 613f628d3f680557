/**
 * Writes what devices say of their commands. While the database is away the answers wait in memory;
 * one that is lost with the process is not missed, because the command is sent again and the device
 * answers again.
 */
import { commandDetailCharsMax, parseCommandReply } from '@thermomesh/contracts';
import { codeOf, isRetriable, sleep, type Log } from '@thermomesh/runtime';
import type { Acknowledgement, CommandStore } from './core/ports.ts';
import type { CommandMetrics } from './metrics.ts';

/** Maximum number of answers that wait, and of statements at a time. */
const waitingMax = 10_000;
const concurrency = 4;

export interface AcknowledgementDeps {
  store: Pick<CommandStore, 'acknowledge'>;
  metrics: CommandMetrics;
  log: Log;
  retryMs: number;
}

export interface Acknowledgements {
  /** Takes a status message; one that acknowledges no command is ignored. */
  take(deviceId: string, payload: Buffer): void;
  /** Tries once more to write what waits. */
  stop(): Promise<void>;
}

export function createAcknowledgements(deps: AcknowledgementDeps): Acknowledgements {
  const { store, metrics, log, retryMs } = deps;
  const waiting = new Map<string, Acknowledgement>();
  const pause = new AbortController();
  let writing: Promise<void> | undefined;

  /** @returns false if the database is away */
  async function write(key: string, one: Acknowledgement): Promise<boolean> {
    try {
      const status = await store.acknowledge(one);
      if (status !== undefined) {
        metrics.acknowledged.inc({ status: one.outcome });
        const { commandId, deviceId } = one;
        log.info({ event: 'command.acknowledged', commandId, deviceId, outcome: one.outcome, status });
      }
    } catch (error) {
      metrics.failed.inc({ code: codeOf(error) ?? 'unknown' });
      if (isRetriable(error)) return false;
      log.error({ event: 'command.acknowledgement_failed', commandId: one.commandId, err: error });
    }
    if (waiting.get(key) === one) waiting.delete(key);
    return true;
  }

  async function writeAll(): Promise<void> {
    while (waiting.size > 0) {
      const some = [...waiting].slice(0, concurrency);
      const written = await Promise.all(some.map(async ([key, one]) => write(key, one)));
      if (written.every(Boolean)) continue;
      if (pause.signal.aborted) return;
      await sleep(retryMs, pause.signal);
    }
  }

  function begin(): void {
    writing ??= writeAll().finally(() => {
      writing = undefined;
      if (waiting.size > 0 && !pause.signal.aborted) begin();
    });
  }

  return {
    take(deviceId, payload) {
      const reply = parseCommandReply(payload);
      if (reply === undefined) return;
      const { commandId, status: outcome } = reply;
      const key = `${deviceId} ${commandId}`;
      if (waiting.has(key)) return;
      if (waiting.size >= waitingMax) return void metrics.failed.inc({ code: 'command.too_many_waiting' });
      waiting.set(key, { commandId, deviceId, outcome, detail: storable(reply.detail ?? null) });
      begin();
    },
    async stop() {
      pause.abort();
      await writing;
    },
  };
}

/** Text that PostgreSQL takes: well formed, one line, without NUL. */
function storable(detail: string | null): string | null {
  if (detail === null) return null;
  const line = detail.replaceAll(/[\u0000-\u001f\u007f]/g, ' ');
  return line.slice(0, commandDetailCharsMax).toWellFormed();
}
