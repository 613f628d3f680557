/** Starts the processes of a mesh stage by stage, keeps them alive, and stops them in the opposite order. */
import type { ProcessRecord } from '../state/run-file.ts';
import { keep, type KeptProcess } from './keep.ts';
import type { MeshEvent, ProcessSpec } from './spec.ts';

/** Processes that may start at the same time, once everything of the stages before is ready. */
export interface Stage {
  specs: ProcessSpec[];
  /** Runs when the stage is ready and before the next one starts, such as the migration of the database. */
  after?: () => Promise<void>;
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
  /** Resolves when all stages are ready. @throws MeshError of the first process that does not start */
  start(): Promise<void>;
  /** Stages in the opposite order. Idempotent. */
  stop(): Promise<void>;
  processes(): ProcessRecord[];
}

export function createSupervisor(stages: Stage[], hooks: SupervisorHooks): Supervisor {
  const kept: KeptProcess[][] = stages.map(({ specs }) =>
    specs.map((spec) => keep(spec, { onEvent: hooks.onEvent, isHeld: hooks.isHeld, onChange: changed })),
  );
  const startedStages: KeptProcess[][] = [];
  let stopped: Promise<void> | undefined;
  let stopAsked = false;

  function processes(): ProcessRecord[] {
    return kept.flat().map(({ record }) => ({ ...record }));
  }

  function changed(): void {
    hooks.onChange(processes());
  }

  async function stopAll(): Promise<void> {
    const last = startedStages.length > 0 ? await hooks.lastOf?.() : undefined;
    for (const stage of startedStages.toReversed()) {
      await Promise.all(stage.filter(({ name }) => name !== last).map(async (process) => process.stop()));
      await stage.find(({ name }) => name === last)?.stop();
    }
  }

  return {
    processes,
    async start() {
      for (const [index, stage] of kept.entries()) {
        if (stopAsked) return;
        startedStages.push(stage);
        await Promise.all(stage.map(async (process) => process.start()));
        await stages[index]?.after?.();
      }
    },
    stop() {
      stopAsked = true;
      stopped ??= stopAll();
      return stopped;
    },
  };
}
