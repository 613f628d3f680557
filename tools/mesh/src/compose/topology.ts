/** Names in docker-compose.yml that the tools use. Pure; a test compares them with that file. */
import type { ProcessRole } from '../mesh/files/run-file.ts';

export interface ComposeService {
  name: string;
  role: ProcessRole;
  /** The port of its answers inside its container. */
  port: number;
  /** Its name on the network on which the tools reach it; undefined if they do not. */
  host?: string;
}

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

/** Every long-running service, under the names of the local mesh. */
export const composeServices: readonly ComposeService[] = [
  { name: 'postgres', role: 'postgres', port: 5432 },
  { name: 'redis', role: 'redis', port: 6379 },
  ...numbered(3).map((id): ComposeService => ({ name: `zookeeper-${id}`, role: 'zookeeper', port: 2181 })),
  ...numbered(3).map((id): ComposeService => ({ name: `kafka-${id}`, role: 'kafka', port: 9092 })),
  { name: 'card-processor', role: 'card-processor', port: 8090, host: 'card-processor' },
  ...numbered(2).map((id): ComposeService => ({
    name: `billing-${id}`,
    role: 'billing',
    port: 8085,
    host: `billing-${id}.mesh`,
  })),
  { name: 'gateway', role: 'gateway', port: 8080, host: 'gateway.front' },
  ...numbered(5).map((id): ComposeService => ({
    name: `node-${id}`,
    role: 'analytics',
    port: 8081,
    host: `node-${id}.mesh`,
  })),
  ...numbered(5).map((id): ComposeService => ({
    name: `equalizer-${id}`,
    role: 'equalizer',
    port: 8086,
    host: `equalizer-${id}.mesh`,
  })),
  { name: 'fleet', role: 'fleet', port: 0 },
];

/** The role of a service; undefined if it is not long-running. */
export const roleOf = (service: string): ProcessRole | undefined =>
  composeServices.find(({ name }) => name === service)?.role;

export const mqttPort = 1883;
/** The networks from which a container can be disconnected. */
export const composeNetworks = ['front', 'mesh', 'data'] as const;
/** The one-shot container from which the secrets can be read. */
export const secretsService = 'secrets';
/** The project of docker-compose.yml. */
export const projectDefault = 'thermomesh';
