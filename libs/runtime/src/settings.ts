/**
 * Settings that several processes share, helpers for the common kinds of settings, and the
 * cross-checks that belong to them. A process spreads a group into its schema and overrides single
 * settings behind it.
 */
import Type from 'typebox';
import { secretCharsMin } from './access.ts';
import { crashPoints, parseCrashPlan } from './crash-points.ts';
import { messageOf } from './errors.ts';

export interface IntegerBounds {
  minimum?: number;
  maximum?: number;
}

/** A duration in milliseconds, at least 1 unless `bounds` says otherwise. */
export function ms(initial: number, description: string, bounds: IntegerBounds = {}) {
  return Type.Integer({ default: initial, minimum: 1, ...bounds, description });
}

/** A number of things or bytes, at least 1 unless `bounds` says otherwise. */
export function count(initial: number, description: string, bounds: IntegerBounds = {}) {
  return Type.Integer({ default: initial, minimum: 1, ...bounds, description });
}

/** A TCP port to listen on. */
export function port(initial: number, description = 'TCP port; 0 takes a free one.') {
  return Type.Integer({ default: initial, minimum: 0, maximum: 65_535, description });
}

/** A secret of at least {@link secretCharsMin} characters. */
export function secret(description: string) {
  return Type.String({ minLength: secretCharsMin, description });
}

/** Addresses as `host:port,host:port,…`, such as the members of an ensemble. */
export function hostList(description: string) {
  return Type.String({ pattern: '^[^,/\\s]+:\\d+(,[^,/\\s]+:\\d+)*$', description });
}

/** An absolute path of a ZooKeeper node. */
export function znodePath(initial: string, description: string) {
  return Type.String({ default: initial, pattern: '^(/[A-Za-z0-9_.-]+)+$', description });
}

/** The URL of a PostgreSQL database. */
export function postgresUrl(description = 'URL of the PostgreSQL database.') {
  return Type.String({ pattern: '^postgres(ql)?://', description });
}

/** The values of LOG_LEVEL, from the most to the least that is logged. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** Settings of every process that listens on HTTP. */
export const processSettings = {
  HTTP_HOST: Type.String({ default: '127.0.0.1', description: 'Address that HTTP listens on.' }),
  HTTP_PORT: port(0, 'TCP port of HTTP; 0 takes a free one.'),
  LOG_LEVEL: Type.String({
    default: 'info',
    enum: [...logLevels],
    description: 'Lowest level that is logged: trace, debug, info, warn, error, fatal or silent.',
  }),
  STOP_TIMEOUT_MS: ms(10_000, 'Maximum duration of a graceful shutdown.'),
};

/** Settings by which a test ends or freezes a process at a named moment. */
export const crashPointSettings = {
  CRASH_POINT: Type.Optional(
    Type.String({
      description: `Tests only. Where the process ends or freezes, as name[:nth][:kill|stop]. Names: ${crashPoints.join(', ')}.`,
    }),
  ),
  CRASH_WITNESS_FILE: Type.Optional(
    Type.String({ description: 'Tests only. File that gets a line when the crash point is hit.' }),
  ),
};

/** Settings of every service of the mesh. */
export const serviceSettings = {
  ...processSettings,
  ...crashPointSettings,
  MESH_SECRET: secret('Secret of the mesh, from which the tokens of all callers are derived.'),
  API_KEYS_FILE: Type.Optional(
    Type.String({ description: 'File with the hashes of API keys; `mesh api-key` writes it.' }),
  ),
};

/** The setting of a service that other processes find through ZooKeeper. */
export const announcedHostSettings = {
  ANNOUNCED_HOST: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9:.-]+$',
      description: 'Host name or address at which callers reach this process. Default: HTTP_HOST.',
    }),
  ),
};

/** Cross-check of `crashPointSettings`. */
export function crashPlanIssues(config: { CRASH_POINT?: string | undefined }): string[] {
  try {
    parseCrashPlan(config.CRASH_POINT);
    return [];
  } catch (error) {
    return [`CRASH_POINT: ${messageOf(error)}`];
  }
}

export interface AnnouncedHostConfig {
  ANNOUNCED_HOST?: string | undefined;
  HTTP_HOST: string;
}

/**
 * The host at which callers reach this process; undefined if HTTP_HOST is a wildcard address and
 * ANNOUNCED_HOST is not set.
 */
export function announcedHost(config: AnnouncedHostConfig): string | undefined {
  const { ANNOUNCED_HOST: announced, HTTP_HOST: host } = config;
  return announced ?? (['0.0.0.0', '::'].includes(host) ? undefined : host);
}

/** Cross-check of a service that announces itself: no caller can connect to a wildcard address. */
export function announcedHostIssues(config: AnnouncedHostConfig): string[] {
  if (announcedHost(config) !== undefined) return [];
  return [
    `HTTP_HOST ${config.HTTP_HOST} cannot be announced: set ANNOUNCED_HOST to the address that callers use`,
  ];
}
