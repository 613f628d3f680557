/** Containers as the processes of a mesh. Pure. */
import type { ProcessRecord, RunFile } from '../state/run-file.ts';
import type { Container } from './engine-api.ts';
import { composeServices, mqttPort, type ComposeService } from './topology.ts';

const serviceLabel = 'com.docker.compose.service';

export const serviceOf = ({ Config }: Container): string => Config.Labels[serviceLabel] ?? '';

export interface View {
  project: string;
  /** Undefined: the engine cannot be asked, all services are taken for there. */
  containers: readonly Container[] | undefined;
  /** Parts are reached by their names inside, not by what is published. */
  inside: boolean;
  /** As the services inside use it. */
  databaseUrl: string;
}

/** What `run.json` says of a local mesh. */
export function runOf({ project, containers, inside, databaseUrl }: View): RunFile {
  const byName = new Map((containers ?? []).map((container) => [serviceOf(container), container]));
  const present = composeServices.filter(({ name }) => containers === undefined || byName.has(name));
  const published = (name: string, port: number) => portOf(byName.get(name), port);
  const at = (name: string, host: string, port: number) => {
    if (inside) return `${host}:${port}`;
    const outside = published(name, port);
    return outside === undefined ? undefined : `127.0.0.1:${outside}`;
  };
  const zookeeper = present
    .filter(({ role }) => role === 'zookeeper')
    .map(({ name, port }) => at(name, name, port))
    .filter((address) => address !== undefined);
  const sql = new URL(databaseUrl);
  const sqlAt = at('postgres', sql.hostname, 5432);
  if (sqlAt !== undefined) sql.host = sqlAt;
  return {
    name: project,
    state:
      containers !== undefined && containers.every(({ State }) => !State.Running) ? 'stopped' : 'running',
    // No process of this machine keeps it alive; the engine does.
    supervisor: { pid: 0, startTime: '' },
    mqttUrl: `mqtt://${at('gateway', 'gateway.front', mqttPort) ?? 'absent:1'}`,
    httpUrl: `http://${at('gateway', 'gateway.front', 8080) ?? 'absent:1'}`,
    databaseUrl: sqlAt === undefined ? null : sql.href,
    // They are not published, so there is nothing to be reached from here.
    redisUrl: null,
    zookeeperHosts: zookeeper.length === 0 ? null : zookeeper.join(','),
    kafkaBrokers: null,
    processes: present.map((service) => recordOf(service, byName.get(service.name), inside)),
  };
}

function recordOf(service: ComposeService, container: Container | undefined, inside: boolean): ProcessRecord {
  const { name, role, port, host } = service;
  const outside = portOf(container, port);
  const address = inside ? `${host}:${port}` : outside === undefined ? undefined : `127.0.0.1:${outside}`;
  const state = container?.State;
  return {
    name,
    role,
    pid: state?.Running === true ? state.Pid : null,
    startTime: state?.Running === true ? state.StartedAt : null,
    url: host === undefined || address === undefined ? null : `http://${address}`,
    ports: {},
    ready: container === undefined || isReady(container),
    restarts: container?.RestartCount ?? 0,
  };
}

/** Healthy by its own check; one that has none is ready when it runs. */
export function isReady({ State }: Container): boolean {
  return State.Running && !State.Paused && (State.Health?.Status ?? 'healthy') === 'healthy';
}

/** The port of this machine; also of a container that does not run, if the file fixes it. */
function portOf(container: Container | undefined, port: number): number | undefined {
  const key = `${port}/tcp`;
  const now = container?.NetworkSettings.Ports?.[key]?.[0]?.HostPort;
  const fixed = container?.HostConfig.PortBindings?.[key]?.[0]?.HostPort;
  const chosen = Number(now ?? fixed ?? 0);
  return chosen === 0 ? undefined : chosen;
}
