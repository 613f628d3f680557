/** Containers as the processes of a mesh. Pure. */
import type { ProcessRecord, RunFile } from '../mesh/files/run-file.ts';
import type { Container } from './engine-api.ts';
import { composeServices, mqttPort, type ComposeService } from './topology.ts';

const serviceLabel = 'com.docker.compose.service';

export const serviceOf = ({ Config }: Container): string => Config.Labels[serviceLabel] ?? '';

export interface View {
  project: string;
  /** Undefined if there is no engine; then all services are assumed to run. */
  containers: readonly Container[] | undefined;
  /** True if parts are reached by their names inside and not by published ports. */
  inside: boolean;
  /** The address of the database inside. */
  databaseUrl: string;
}

/** The run file of a project, as `run.json` is of a local mesh. */
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
    // The engine supervises the containers, not a process of this machine.
    supervisor: { pid: 0, startTime: '' },
    mqttUrl: `mqtt://${at('gateway', 'gateway.front', mqttPort) ?? 'absent:1'}`,
    httpUrl: `http://${at('gateway', 'gateway.front', 8080) ?? 'absent:1'}`,
    databaseUrl: sqlAt === undefined ? null : sql.href,
    // These servers are not published, so they cannot be reached from here.
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

/** True if its health check passes; a container without one is ready when it runs. */
export function isReady({ State }: Container): boolean {
  return State.Running && !State.Paused && (State.Health?.Status ?? 'healthy') === 'healthy';
}

/** The published port; of a stopped container too if docker-compose.yml fixes it. */
function portOf(container: Container | undefined, port: number): number | undefined {
  const key = `${port}/tcp`;
  const now = container?.NetworkSettings.Ports?.[key]?.[0]?.HostPort;
  const fixed = container?.HostConfig.PortBindings?.[key]?.[0]?.HostPort;
  const chosen = Number(now ?? fixed ?? 0);
  return chosen === 0 ? undefined : chosen;
}
