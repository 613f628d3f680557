/** The containers of a Compose project as the processes of a mesh. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { meshError } from '../errors.ts';
import type { Layout } from '../mesh/files/layout.ts';
import type { HostedProcess, ProcessHost } from '../mesh/host.ts';
import { until } from '../mesh/until.ts';
import type { Container, EngineApi } from './engine-api.ts';
import { isReady, serviceOf } from './records.ts';
import { composeNetworks, roleOf } from './topology.ts';

const endTimeoutMs = 60_000;
const stopGraceSeconds = 15;

export interface ComposeHost extends ProcessHost {
  /** The containers as the engine reported them last; undefined if there is no engine. */
  containers: () => readonly Container[] | undefined;
  /** Asks the engine for the containers. */
  refresh: () => Promise<void>;
}

/**
 * @param engine undefined inside a container without the engine's socket: no fault can be injected
 *   then
 */
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
    ...faultsOf(project, find, refresh),
    networks: composeNetworks,
    readiness({ name, url, ready }) {
      if (engine === undefined) return url === null ? ready : undefined;
      // A process with an address is asked itself, because a health check runs only every few
      // seconds.
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
  /** @throws MeshError `usage` if there is no engine */
  engine(): EngineApi;
  byName(name: string): Promise<Container | undefined>;
  /** Resolves with undefined if the container has ended or restarted since. */
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
        throw meshError('usage', 'faults need the container engine: use the profile "chaos"');
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

function faultsOf(
  project: string,
  find: Finder,
  refresh: () => Promise<void>,
): Pick<ProcessHost, 'signal' | 'whileFrozen' | 'whileCutOff'> {
  const mustLive = async (process: HostedProcess): Promise<Container> => {
    const container = await find.sameLife(process);
    if (container === undefined)
      throw meshError('chaos.missed', `${process.name} ended before it could be hit`);
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
      // The engine takes a kill through its API as intended and leaves the container stopped, so
      // restart it here as a supervisor would.
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
        throw meshError('usage', `${process.name} is on none of the networks ${networks.join(', ')}`);
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

/** Those of the given networks that the container is attached to, with its names there. */
function attachments(
  { Id, NetworkSettings }: Container,
  project: string,
  networks: readonly string[],
): { network: string; aliases: string[] }[] {
  return Object.entries(NetworkSettings.Networks)
    .filter(([name]) => networks.some((wanted) => name === `${project}_${wanted}`))
    .map(([network, { Aliases }]) => ({
      network,
      // The engine adds the short id as an alias by itself.
      aliases: [...new Set(Aliases ?? [])].filter((alias) => !Id.startsWith(alias)),
    }));
}
