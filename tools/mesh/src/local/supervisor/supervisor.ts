/**
 * Starts the processes of a mesh stage by stage, keeps them running, and stops them in the opposite
 * order.
 */
import { messageOf, sleep } from '@thermomesh/runtime';
import type { ProcessRecord } from '../../mesh/files/run-file.ts';
import { keep, type KeptProcess } from './keep.ts';
import type { MeshEvent, ProcessSpec } from './spec.ts';

/** Processes that start at the same time, once the stages before are ready. */
export interface Stage {
  specs: ProcessSpec[];
  /** Runs before the processes of this stage start. */
  before?: () => Promise<void>;
  /**
   * Runs when the stage is ready and before the next one starts, for example to migrate the
   * database.
   */
  after?: () => Promise<void>;
  /**
   * Name of a part that the mesh can do without: it starts beside the later stages, and if it
   * fails, only this part is off.
   */
  part?: string;
  /**
   * Start-up waits for this part at most `lateWaitMaxMs`, because its server may have to be
   * downloaded. It is not listed until it is ready.
   */
  late?: boolean;
}

export interface SupervisorHooks {
  onEvent: (event: MeshEvent) => void;
  /** Called synchronously on every change. */
  onChange: (processes: ProcessRecord[]) => void;
  isHeld: (name: string) => boolean;
  /**
   * Names the process of a stage that ends last: the coordinator, which then hands over to no other
   * node.
   */
  lastOf?: () => Promise<string | undefined>;
  /** Maximum time that the start waits for late parts. */
  lateWaitMaxMs?: number;
}

export interface Supervisor {
  /**
   * Resolves when all stages are ready or, for parts that the mesh can do without, off.
   * @throws MeshError of the first process that does not start
   */
  start(): Promise<void>;
  /** Stops the stages in the opposite order. Idempotent. */
  stop(): Promise<void>;
  /** The processes without those of parts that are off. */
  processes(): ProcessRecord[];
}

interface KeptStage {
  stage: Stage;
  kept: KeptProcess[];
  /** A late part is listed once it is ready; a part that failed to start is off. */
  status: 'unlisted' | 'listed' | 'off';
}

/** A server that is on this machine is ready within seconds; a download takes minutes. */
const lateWaitMaxMs = 20_000;

export function createSupervisor(stages: Stage[], hooks: SupervisorHooks): Supervisor {
  const all: KeptStage[] = stages.map((stage) => ({
    stage,
    kept: stage.specs.map((spec) =>
      keep(spec, { onEvent: hooks.onEvent, isHeld: hooks.isHeld, onChange: changed }),
    ),
    status: stage.late === true ? 'unlisted' : 'listed',
  }));
  const begun: KeptStage[] = [];
  let stopped: Promise<void> | undefined;
  let stopAsked = false;

  function processes(): ProcessRecord[] {
    return all.flatMap(({ status, kept }) =>
      status === 'listed' ? kept.map(({ record }) => ({ ...record })) : [],
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
      one.status = 'listed';
      changed();
    } catch (error) {
      if (stopAsked) return;
      one.status = 'off';
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
      const waited = new AbortController();
      await Promise.race([Promise.all(late), sleep(hooks.lateWaitMaxMs ?? lateWaitMaxMs, waited.signal)]);
      waited.abort();
    },
    stop() {
      stopAsked = true;
      stopped ??= stopAll();
      return stopped;
    },
  };
}
