/** Keeps one process alive until it is told to stop. */
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError, messageOf } from '@thermomesh/runtime';
import type { ProcessRecord } from '../state/run-file.ts';
import { nextPauseMs } from './backoff.ts';
import type { Launched, MeshEvent, ProcessSpec } from './spec.ts';

/** A first start that fails so often in a row is given up: somebody has to look. Later ones never are. */
export const firstStartsMax = 4;
const holdPollMs = 50;

export interface KeepHooks {
  onEvent: (event: MeshEvent) => void;
  /** The record has changed: the run file must say so before anything else happens. */
  onChange: () => void;
  isHeld: (name: string) => boolean;
}

export interface KeptProcess {
  readonly name: string;
  readonly record: Readonly<ProcessRecord>;
  /** Resolves when it is ready for the first time. @throws MeshError `process.start_failed` */
  start(): Promise<void>;
  /** Ends it and returns when it has ended. Idempotent. */
  stop(): Promise<void>;
}

/** What the functions below share about one kept process. */
interface Keeping {
  spec: ProcessSpec;
  hooks: KeepHooks;
  record: ProcessRecord;
  stopping: AbortController;
  firstReady: PromiseWithResolvers<undefined>;
  wasReady: boolean;
  hasRun: boolean;
  running: Launched | undefined;
  /** Why the last start did not even make a process; undefined if it did. */
  failure: string | undefined;
}

/** Starts `spec` when told, again whenever it ends, with a growing pause. */
export function keep(spec: ProcessSpec, hooks: KeepHooks): KeptProcess {
  const { name, role, url, ports } = spec;
  const keeping: Keeping = {
    spec,
    hooks,
    record: { name, role, url, ports, pid: null, startTime: null, ready: false, restarts: 0 },
    stopping: new AbortController(),
    firstReady: Promise.withResolvers<undefined>(),
    wasReady: false,
    hasRun: false,
    running: undefined,
    failure: undefined,
  };
  let loop: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;
  return {
    name,
    record: keeping.record,
    start() {
      loop ??= keepRunning(keeping);
      return keeping.firstReady.promise;
    },
    stop() {
      stopped ??= endKeeping(keeping, () => loop);
      return stopped;
    },
  };
}

async function endKeeping(keeping: Keeping, loop: () => Promise<void> | undefined): Promise<void> {
  const { spec, hooks, firstReady, stopping } = keeping;
  stopping.abort();
  firstReady.promise.catch(() => undefined);
  firstReady.reject(new MeshError('process.start_failed', `${spec.name} was stopped`));
  await keeping.running?.stop();
  await loop();
  // Of what never ran there is nothing to say.
  if (keeping.hasRun) hooks.onEvent({ event: 'process.stopped', name: spec.name });
}

async function keepRunning(keeping: Keeping): Promise<void> {
  const { spec, hooks, stopping } = keeping;
  const { firstStartsMax: startsMax = firstStartsMax } = spec;
  let pauseMs: number | undefined;
  for (let start = 1; !stopping.signal.aborted; start += 1) {
    const uptimeMs = await live(keeping, start);
    if (stopping.signal.aborted) return;
    if (!keeping.wasReady && start >= startsMax) {
      const reason = keeping.failure ?? `${spec.name} does not start; its log: ${spec.logFile}`;
      keeping.firstReady.reject(new MeshError('process.start_failed', reason));
      return;
    }
    if (keeping.failure !== undefined)
      hooks.onEvent({ event: 'process.start_failed', name: spec.name, reason: keeping.failure });
    pauseMs = nextPauseMs(pauseMs, uptimeMs);
    const held = hooks.isHeld(spec.name);
    hooks.onEvent({ event: 'process.restart_pending', name: spec.name, pauseMs, held });
    await pause(pauseMs, stopping.signal);
    while (hooks.isHeld(spec.name) && !stopping.signal.aborted) await pause(holdPollMs, stopping.signal);
  }
}

/** One life of the process; returns how long it was up, in ms. */
async function live(keeping: Keeping, start: number): Promise<number> {
  const { spec, hooks, stopping } = keeping;
  let current: Launched;
  try {
    current = await spec.launch(start);
    keeping.failure = undefined;
  } catch (error) {
    keeping.failure = messageOf(error);
    return 0;
  }
  const startedAt = Date.now();
  keeping.running = current;
  keeping.hasRun = true;
  change(keeping, { pid: current.pid, startTime: current.startTime, restarts: start - 1 });
  hooks.onEvent({ event: 'process.started', name: spec.name, pid: current.pid, start });
  void current.ready.then(() => becomeReady(keeping, current));
  // Told to stop while it was being started.
  if (stopping.signal.aborted) await current.stop();
  const { code, signal } = await current.exited;
  keeping.running = undefined;
  change(keeping, { pid: null, startTime: null, ready: false });
  if (!stopping.signal.aborted) {
    hooks.onEvent({ event: 'process.exited', name: spec.name, pid: current.pid, code, signal });
  }
  return Date.now() - startedAt;
}

function becomeReady(keeping: Keeping, which: Launched): void {
  if (keeping.running !== which) return;
  keeping.wasReady = true;
  change(keeping, { ready: true });
  keeping.hooks.onEvent({ event: 'process.ready', name: keeping.spec.name });
  keeping.firstReady.resolve(undefined);
}

function change(keeping: Keeping, fields: Partial<ProcessRecord>): void {
  Object.assign(keeping.record, fields);
  keeping.hooks.onChange();
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  // Aborted by stop(): the loop looks at the signal next.
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
