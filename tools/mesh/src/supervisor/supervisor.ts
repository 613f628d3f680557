/** Starts the processes of a mesh stage by stage, keeps them alive, and stops them in the opposite order. */
import { messageOf } from '@thermomesh/runtime';
import type { ProcessRecord } from '../state/run-file.ts';
import { keep, type KeptProcess } from './keep.ts';
import type { MeshEvent, ProcessSpec } from './spec.ts';

/** Processes that may start at the same time, once everything of the stages before is ready. */
export interface Stage {
  specs: ProcessSpec[];
  /** Runs before the processes of this stage start. */
  before?: () => Promise<void>;
  /** Runs when the stage is ready and before the next one starts, such as the migration of the database. */
  after?: () => Promise<void>;
  /** The mesh can do without it: it starts beside the stages that follow, and if it fails only this part, so called, is off. */
  part?: string;
  /** A part that the start waits for only so long: it may have to be fetched first. Until it is ready nobody counts on it. */
  late?: boolean;
}

export interface SupervisorHooks {
  onEvent: (event: MeshEvent) => void;
  /** Called synchronously on every change. */
  onChange: (processes: ProcessRecord[]) => void;
  isHeld: (name: string) => boolean;
  /** Which process of a stage ends last (the coordinator hands over to nobody then). */
  lastOf?: () => Promise<string | undefined>;
  /** How long the start waits for late parts. */
  lateWaitMaxMs?: number;
}

export interface Supervisor {
  /** Resolves when all stages are ready or, if the mesh can do without them, off. @throws MeshError of the first process that does not start */
  start(): Promise<void>;
  /** Stages in the opposite order. Idempotent. */
  stop(): Promise<void>;
  /** Without those of parts that are off. */
  processes(): ProcessRecord[];
}

interface KeptStage {
  stage: Stage;
  kept: KeptProcess[];
  off: boolean;
  /** What is late is listed once it has been ready. */
  listed: boolean;
}

/** What is on the machine already is there within seconds; what is fetched takes minutes. */
const lateWaitMaxMs = 20_000;

export function createSupervisor(stages: Stage[], hooks: SupervisorHooks): Supervisor {
  const all: KeptStage[] = stages.map((stage) => ({
    stage,
    kept: stage.specs.map((spec) =>
      keep(spec, { onEvent: hooks.onEvent, isHeld: hooks.isHeld, onChange: changed }),
    ),
    off: false,
    listed: stage.late !== true,
  }));
  const begun: KeptStage[] = [];
  let stopped: Promise<void> | undefined;
  let stopAsked = false;

  function processes(): ProcessRecord[] {
    return all.flatMap(({ off, listed, kept }) =>
      off || !listed ? [] : kept.map(({ record }) => ({ ...record })),
    );
  }

  function changed(): void {
    hooks.onChange(processes());
  }

  async function begin({ stage, kept }: KeptStage): Promise<void> {
    await stage.before?.();
    if (stopAsked) return;
    await Promise.all(kept.map(async (process) => process.start()));
    await stage.after?.();
  }

  async function beginPart(one: KeptStage, part: string): Promise<void> {
    try {
      await begin(one);
      one.listed = true;
      changed();
    } catch (error) {
      if (stopAsked) return;
      one.off = true;
      hooks.onEvent({ event: 'part.off', part, reason: messageOf(error) });
      await Promise.all(one.kept.map(async (process) => process.stop()));
      changed();
    }
  }

  async function stopAll(): Promise<void> {
    const last = begun.length > 0 ? await hooks.lastOf?.() : undefined;
    for (const { kept } of begun.toReversed()) {
      await Promise.all(kept.filter(({ name }) => name !== last).map(async (process) => process.stop()));
      await kept.find(({ name }) => name === last)?.stop();
    }
  }

  return {
    processes,
    async start() {
      const parts: Promise<void>[] = [];
      const late: Promise<void>[] = [];
      for (const one of all) {
        if (stopAsked) break;
        begun.push(one);
        const { part } = one.stage;
        if (part === undefined) await begin(one);
        else (one.stage.late === true ? late : parts).push(beginPart(one, part));
      }
      await Promise.all(parts);
      await atMost(hooks.lateWaitMaxMs ?? lateWaitMaxMs, Promise.all(late));
    },
    stop() {
      stopAsked = true;
      stopped ??= stopAll();
      return stopped;
    },
  };
}

/** Returns when `work` is done, or after so long. */
async function atMost(waitMaxMs: number, work: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), waitMaxMs);
  await Promise.race([work, late]);
  clearTimeout(timer);
}
