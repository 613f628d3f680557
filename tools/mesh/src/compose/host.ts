/** The containers of a Compose project as the processes of a mesh. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { MeshError } from '@thermomesh/runtime';
import type { HostedProcess, ProcessHost } from '../client/host.ts';
import { until } from '../client/until.ts';
import type { Layout } from '../state/layout.ts';
import type { Container, EngineApi } from './engine-api.ts';
import { isReady, serviceOf } from './records.ts';
import { composeNetworks } from './topology.ts';

const endTimeoutMs = 60_000;
const stopGraceSeconds = 15;

export interface ComposeHost extends ProcessHost {
  /** As the engine last told it; undefined if it cannot be asked. */
  containers(): readonly Container[] | undefined;
  /** Asks the engine. */
  refresh(): Promise<void>;
}

/** @param engine undefined inside a container that does not hold the engine's socket: nothing can be hurt then */
export function composeHost(project: string, layout: Layout, engine: EngineApi | undefined): ComposeHost {
  let known: readonly Container[] | undefined;
  const refresh = async () => {
    known = await engine?.containers(project);
  };
  const needed = (): EngineApi => {
    if (engine === undefined)
      throw new MeshError('usage', 'without the engine nothing can be hurt: use the profile "chaos"');
    return engine;
  };
  const containerOf = async (name: string): Promise<Container | undefined> => {
    const container = known?.find((each) => serviceOf(each) === name);
    return container === undefined ? undefined : engine?.inspect(container.Id);
  };
  const sameLife = async ({ name, identity }: HostedProcess): Promise<Container | undefined> => {
    const container = await containerOf(name);
    return container?.State.Running === true && container.State.StartedAt === identity.startTime
      ? container
      : undefined;
  };
  const mustLive = async (process: HostedProcess): Promise<Container> => {
    const container = await sameLife(process);
    if (container === undefined)
      throw new MeshError('chaos.missed', `${process.name} ended before it could be hit`);
    return container;
  };
  return {
    containers: () => known,
    refresh,
    supervised: async () => true,
    async living(record) {
      if (engine === undefined) return { pid: 0, startTime: '' };
      const container = await containerOf(record.name);
      const state = container?.State;
      return state?.Running === true ? { pid: state.Pid, startTime: state.StartedAt } : undefined;
    },
    isAlive: async (process) => (await sameLife(process)) !== undefined,
    async signal(process, signal) {
      const container = await sameLife(process);
      if (container === undefined) return false;
      if (signal === 'SIGKILL') {
        if (!(await needed().kill(container.Id, 'KILL'))) return false;
        const what = { what: `${process.name} to end`, timeoutMs: endTimeoutMs };
        await until(what, async () => (await sameLife(process)) === undefined);
      } else await needed().stop(container.Id, stopGraceSeconds);
      // The engine takes a kill by its API for somebody's wish and leaves the container dead: what a supervisor does is done here.
      await needed().start(container.Id);
      await refresh();
      return true;
    },
    async whileFrozen(process, _, work) {
      const { Id } = await mustLive(process);
      await needed().pause(Id);
      try {
        return await work();
      } finally {
        await needed().unpause(Id);
      }
    },
    async whileCutOff(process, networks, work) {
      const container = await mustLive(process);
      const chosen = attachments(container, project, networks);
      if (chosen.length === 0)
        throw new MeshError('usage', `${process.name} is on none of the networks ${networks.join(', ')}`);
      const cut: typeof chosen = [];
      try {
        for (const attachment of chosen) {
          await needed().disconnect(attachment.network, container.Id);
          cut.push(attachment);
        }
        return await work();
      } finally {
        for (const { network, aliases } of cut) await needed().connect(network, container.Id, aliases);
      }
    },
    networks: composeNetworks,
    readiness({ name, url, ready }) {
      if (engine === undefined) return url === null ? ready : undefined;
      // Who has an address is asked; a health check looks only every few seconds.
      const container = known?.find((each) => serviceOf(each) === name);
      if (container?.State.Paused === true || container?.State.Running === false) return false;
      return url === null && container !== undefined ? isReady(container) : undefined;
    },
    async bringLogs(since) {
      mkdirSync(layout.logsDir, { recursive: true });
      await refresh();
      for (const container of known ?? []) {
        const text = await needed().logs(container.Id, Date.parse(since) / 1000 - 1);
        writeFileSync(layout.logFile(serviceOf(container)), text);
      }
    },
  };
}

/** The networks that a container is on, of those asked for, with the names that it has there. */
function attachments(
  { Id, NetworkSettings }: Container,
  project: string,
  networks: readonly string[],
): { network: string; aliases: string[] }[] {
  return Object.entries(NetworkSettings.Networks)
    .filter(([name]) => networks.some((wanted) => name === `${project}_${wanted}`))
    .map(([network, { Aliases }]) => ({
      network,
      // The engine adds the beginning of the id by itself.
      aliases: [...new Set(Aliases ?? [])].filter((alias) => !Id.startsWith(alias)),
    }));
}
