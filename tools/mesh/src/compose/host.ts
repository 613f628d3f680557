/** The containers of a Compose project as the processes of a mesh. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { MeshError } from '@thermomesh/runtime';
import type { HostedProcess, ProcessHost } from '../client/host.ts';
import { until } from '../client/until.ts';
import type { Layout } from '../state/layout.ts';
import type { Container, EngineApi } from './engine-api.ts';
import { isReady, serviceOf } from './records.ts';
import { composeNetworks, roleOf } from './topology.ts';

const endTimeoutMs = 60_000;
const stopGraceSeconds = 15;

export interface ComposeHost extends ProcessHost {
  /** As the engine last told it; undefined if it cannot be asked. */
  containers: () => readonly Container[] | undefined;
  /** Asks the engine. */
  refresh: () => Promise<void>;
}

/** @param engine undefined inside a container that does not hold the engine's socket: nothing can be hurt then */
export function composeHost(project: string, layout: Layout, engine: EngineApi | undefined): ComposeHost {
  let known: readonly Container[] | undefined;
  const containers = () => known;
  const refresh = async () => {
    known = await engine?.containers(project);
  };
  const find = finderOf(containers, engine);
  return {
    containers,
    refresh,
    supervised: async () => true,
    async living({ name }) {
      if (engine === undefined) return { pid: 0, startTime: '' };
      const state = (await find.byName(name))?.State;
      return state?.Running === true ? { pid: state.Pid, startTime: state.StartedAt } : undefined;
    },
    isAlive: async (process) => (await find.sameLife(process)) !== undefined,
    ...blowsOf(project, find, refresh),
    networks: composeNetworks,
    readiness({ name, url, ready }) {
      if (engine === undefined) return url === null ? ready : undefined;
      // Who has an address is asked; a health check looks only every few seconds.
      const container = known?.find((each) => serviceOf(each) === name);
      if (container?.State.Paused === true || container?.State.Running === false) return false;
      return url === null && container !== undefined ? isReady(container) : undefined;
    },
    async bringLogs(since, role) {
      mkdirSync(layout.logsDir, { recursive: true });
      await refresh();
      const wanted = (known ?? []).filter((each) => role === undefined || roleOf(serviceOf(each)) === role);
      for (const container of wanted) {
        const text = await find.engine().logs(container.Id, Date.parse(since) / 1000 - 1);
        writeFileSync(layout.logFile(serviceOf(container)), text);
      }
    },
  };
}

interface Finder {
  /** @throws MeshError `usage` if there is none to speak to */
  engine(): EngineApi;
  byName(name: string): Promise<Container | undefined>;
  /** Undefined if that life of it is over. */
  sameLife(process: HostedProcess): Promise<Container | undefined>;
}

function finderOf(containers: () => readonly Container[] | undefined, engine: EngineApi | undefined): Finder {
  const byName = async (name: string) => {
    const container = containers()?.find((each) => serviceOf(each) === name);
    return container === undefined ? undefined : engine?.inspect(container.Id);
  };
  return {
    engine() {
      if (engine === undefined)
        throw new MeshError('usage', 'without the engine nothing can be hurt: use the profile "chaos"');
      return engine;
    },
    byName,
    async sameLife({ name, identity }) {
      const container = await byName(name);
      const same = container?.State.Running === true && container.State.StartedAt === identity.startTime;
      return same ? container : undefined;
    },
  };
}

function blowsOf(
  project: string,
  find: Finder,
  refresh: () => Promise<void>,
): Pick<ProcessHost, 'signal' | 'whileFrozen' | 'whileCutOff'> {
  const mustLive = async (process: HostedProcess): Promise<Container> => {
    const container = await find.sameLife(process);
    if (container === undefined)
      throw new MeshError('chaos.missed', `${process.name} ended before it could be hit`);
    return container;
  };
  return {
    async signal(process, signal) {
      const container = await find.sameLife(process);
      if (container === undefined) return false;
      const engine = find.engine();
      if (signal === 'SIGKILL') {
        if (!(await engine.kill(container.Id, 'KILL'))) return false;
        const what = { what: `${process.name} to end`, timeoutMs: endTimeoutMs };
        await until(what, async () => (await find.sameLife(process)) === undefined);
      } else await engine.stop(container.Id, stopGraceSeconds);
      // The engine takes a kill by its API for somebody's wish and leaves the container dead: what a supervisor does is done here.
      await engine.start(container.Id);
      await refresh();
      return true;
    },
    async whileFrozen(process, _, work) {
      const { Id } = await mustLive(process);
      const engine = find.engine();
      await engine.pause(Id);
      try {
        return await work();
      } finally {
        await engine.unpause(Id);
      }
    },
    async whileCutOff(process, networks, work) {
      const container = await mustLive(process);
      const engine = find.engine();
      const chosen = attachments(container, project, networks);
      if (chosen.length === 0)
        throw new MeshError('usage', `${process.name} is on none of the networks ${networks.join(', ')}`);
      const cut: typeof chosen = [];
      try {
        for (const attachment of chosen) {
          await engine.disconnect(attachment.network, container.Id);
          cut.push(attachment);
        }
        return await work();
      } finally {
        for (const { network, aliases } of cut) await engine.connect(network, container.Id, aliases);
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
