/** Keeps one process running until it is stopped. */
import { messageOf, sleep } from '@thermomesh/runtime';
import { meshError } from '../../errors.ts';
import type { ProcessRecord } from '../../mesh/files/run-file.ts';
import { nextPauseMs } from './backoff.ts';
import { causeIn, isPermanent, sizeOf } from './cause.ts';
import type { Launched, MeshEvent, ProcessSpec } from './spec.ts';

/**
 * Number of failed first starts in a row after which the process is given up. Later starts never
 * are.
 */
export const firstStartsMax = 4;
const holdPollMs = 50;

export interface KeepHooks {
  onEvent: (event: MeshEvent) => void;
  /** Called synchronously when the record has changed, so that the run file is written first. */
  onChange: () => void;
  isHeld: (name: string) => boolean;
}

export interface KeptProcess {
  readonly name: string;
  readonly record: Readonly<ProcessRecord>;
  /**
   * Resolves when the process is ready for the first time.
   * @throws MeshError `process.start_failed`
   */
  start(): Promise<void>;
  /** Stops the process and resolves when it has ended. Idempotent. */
  stop(): Promise<void>;
}

/** The state of one kept process. */
interface KeptProcessState {
  spec: ProcessSpec;
  hooks: KeepHooks;
  record: ProcessRecord;
  stopping: AbortController;
  firstReady: PromiseWithResolvers<undefined>;
  /** How far it has come since `start`. */
  progress: 'never_ran' | 'ran' | 'was_ready';
  running: Launched | undefined;
  /** Why the last start did not create a process; undefined if it did. */
  failure: string | undefined;
}

/** Starts the process of `spec`, and restarts it whenever it ends, with a growing pause. */
export function keep(spec: ProcessSpec, hooks: KeepHooks): KeptProcess {
  const { name, role, url, ports } = spec;
  const state: KeptProcessState = {
    spec,
    hooks,
    record: { name, role, url, ports, pid: null, startTime: null, ready: false, restarts: 0 },
    stopping: new AbortController(),
    firstReady: Promise.withResolvers<undefined>(),
    progress: 'never_ran',
    running: undefined,
    failure: undefined,
  };
  let loop: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;
  return {
    name,
    record: state.record,
    start() {
      loop ??= keepRunning(state);
      return state.firstReady.promise;
    },
    stop() {
      stopped ??= endKept(state, () => loop);
      return stopped;
    },
  };
}

async function endKept(state: KeptProcessState, loop: () => Promise<void> | undefined): Promise<void> {
  const { spec, hooks, firstReady, stopping } = state;
  stopping.abort();
  firstReady.promise.catch(() => undefined);
  firstReady.reject(meshError('process.start_failed', `${spec.name} was stopped`));
  await state.running?.stop();
  await loop();
  // A process that never ran has not stopped.
  if (state.progress !== 'never_ran') hooks.onEvent({ event: 'process.stopped', name: spec.name });
}

async function keepRunning(state: KeptProcessState): Promise<void> {
  const { spec, hooks, stopping } = state;
  const { firstStartsMax: startsMax = firstStartsMax } = spec;
  let pauseMs: number | undefined;
  for (let start = 1; !stopping.signal.aborted; start += 1) {
    const logged = sizeOf(spec.logFile);
    const uptimeMs = await live(state, start);
    if (stopping.signal.aborted) return;
    const cause = state.progress === 'was_ready' ? undefined : causeIn(spec.logFile, logged);
    if (state.progress !== 'was_ready' && (start >= startsMax || isPermanent(cause))) {
      const reason =
        state.failure ??
        `${spec.name} does not start: ${cause ?? 'it ended without a word'}\n  its log: ${spec.logFile}`;
      state.firstReady.reject(meshError('process.start_failed', reason));
      return;
    }
    if (state.failure !== undefined)
      hooks.onEvent({ event: 'process.start_failed', name: spec.name, reason: state.failure });
    pauseMs = nextPauseMs(pauseMs, uptimeMs);
    const held = hooks.isHeld(spec.name);
    hooks.onEvent({ event: 'process.restart_pending', name: spec.name, pauseMs, held });
    await sleep(pauseMs, stopping.signal);
    while (hooks.isHeld(spec.name) && !stopping.signal.aborted) await sleep(holdPollMs, stopping.signal);
  }
}

/** Runs the process once and resolves with its uptime in milliseconds. */
async function live(state: KeptProcessState, start: number): Promise<number> {
  const { spec, hooks, stopping } = state;
  let current: Launched;
  try {
    current = await spec.launch(start);
    state.failure = undefined;
  } catch (error) {
    state.failure = messageOf(error);
    return 0;
  }
  const startedAt = Date.now();
  state.running = current;
  if (state.progress === 'never_ran') state.progress = 'ran';
  change(state, { pid: current.pid, startTime: current.startTime, restarts: start - 1 });
  hooks.onEvent({ event: 'process.started', name: spec.name, pid: current.pid, start });
  void current.ready.then(() => becomeReady(state, current));
  // It was stopped while it was starting.
  if (stopping.signal.aborted) await current.stop();
  const { code, signal } = await current.exited;
  state.running = undefined;
  change(state, { pid: null, startTime: null, ready: false });
  if (!stopping.signal.aborted) {
    hooks.onEvent({ event: 'process.exited', name: spec.name, pid: current.pid, code, signal });
  }
  return Date.now() - startedAt;
}

function becomeReady(state: KeptProcessState, which: Launched): void {
  if (state.running !== which) return;
  state.progress = 'was_ready';
  change(state, { ready: true });
  state.hooks.onEvent({ event: 'process.ready', name: state.spec.name });
  state.firstReady.resolve(undefined);
}

function change(state: KeptProcessState, fields: Partial<ProcessRecord>): void {
  Object.assign(state.record, fields);
  state.hooks.onChange();
}
