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
}

export interface SupervisorHooks {
  onEvent: (event: MeshEvent) => void;
  /** Called synchronously on every change. */
  onChange: (processes: ProcessRecord[]) => void;
  isHeld: (name: string) => boolean;
  /** Which process of a stage ends last (the coordinator hands over to nobody then). */
  lastOf?: () => Promise<string | undefined>;
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
}

export function createSupervisor(stages: Stage[], hooks: SupervisorHooks): Supervisor {
  const all: KeptStage[] = stages.map((stage) => ({
    stage,
    kept: stage.specs.map((spec) =>
      keep(spec, { onEvent: hooks.onEvent, isHeld: hooks.isHeld, onChange: changed }),
    ),
    off: false,
  }));
  const begun: KeptStage[] = [];
  let stopped: Promise<void> | undefined;
  let stopAsked = false;

  function processes(): ProcessRecord[] {
    return all.flatMap(({ off, kept }) => (off ? [] : kept.map(({ record }) => ({ ...record }))));
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
      for (const one of all) {
        if (stopAsked) break;
        begun.push(one);
        const { part } = one.stage;
        if (part === undefined) await begin(one);
        else parts.push(beginPart(one, part));
      }
      await Promise.all(parts);
    },
    stop() {
      stopAsked = true;
      stopped ??= stopAll();
      return stopped;
    },
  };
}
