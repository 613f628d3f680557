/// <reference path="./jute.d.ts" />
/**
 * Types for the internals of the library that `connection.ts` works around; the library's own types
 * do not describe them. The dependency is pinned to 1.1.3: read its source again before upgrading.
 */
import zookeeper, {
  type ACL,
  type Client,
  type Event,
  type Stat as LibraryStat,
} from 'node-zookeeper-client';
import type { Socket } from 'node:net';
import jute from 'node-zookeeper-client/lib/jute/index.js';
import { ZooKeeperError, type ZooKeeperCode } from '../errors.ts';
import { allPermissions, permissionBits, permissionsOf } from './acl.ts';
import type { AclEntry, CreateMode, Stat, WatchEvent } from './types.ts';

/** The states of the library's connection manager. */
export const managerState = {
  disconnected: 0,
  connecting: 1,
  connected: 2,
  connectedReadOnly: 3,
  closing: -1,
  closed: -2,
  expired: -3,
  authFailed: -4,
} as const;

export interface Manager {
  state: number;
  socket: Socket | undefined;
  servers: { host: string; port: number | string }[];
  nextServerIndex: number;
  connectTimeoutHandler: NodeJS.Timeout | null;
  zxid: Buffer;
  pendingBuffer: Buffer | null;
  packetQueue: { queue: unknown[] };
  pendingQueue: unknown[];
  watcherManager: {
    dataWatchers: Record<string, unknown>;
    childWatchers: Record<string, unknown>;
    existenceWatchers: Record<string, unknown>;
  };
  queue(request: unknown, callback: (error: unknown, response?: unknown) => void): void;
  onSocketData(chunk: Buffer): void;
  onSocketConnected(): void;
  onSocketTimeout(): void;
  findNextServer(callback: (server: { host: string; port: number | string }) => void): void;
  on(event: 'state', listener: (state: number) => void): void;
}

export type LibraryTransaction = ReturnType<Client['transaction']> & { ops: { version?: number }[] };

export interface LibraryClient {
  client: Client;
  manager: Manager;
}

/**
 * Creates a client object of the library, not connected yet. `retries: 0`: only the caller knows
 * whether a request may be repeated.
 */
export function createLibraryClient(hosts: string, sessionTimeoutMs: number): LibraryClient {
  const client = zookeeper.createClient(hosts, {
    sessionTimeout: sessionTimeoutMs,
    spinDelay: 0,
    retries: 0,
  });
  const { connectionManager: manager } = client as unknown as { connectionManager: Manager };
  return { client, manager };
}

/**
 * Creates a SYNC request, which the library lacks: it knows the opcode but breaks the connection on
 * the answer. The answer of a DELETE has no body either, so the request says SYNC on the wire and
 * DELETE to the library.
 */
export function syncRequest(path: string): object {
  const header = new jute.protocol.RequestHeader(0, jute.OP_CODES.DELETE);
  const request = new jute.Request(header, new jute.protocol.CreateResponse(path));
  const toBuffer = request.toBuffer.bind(request);
  request.toBuffer = () => {
    header.type = jute.OP_CODES.SYNC;
    const bytes = toBuffer();
    header.type = jute.OP_CODES.DELETE;
    return bytes;
  };
  return request;
}

/** The version that matches every version of a node. */
export const anyVersion = -1;

export const modeFlags: Record<CreateMode, number> = {
  persistent: zookeeper.CreateMode.PERSISTENT,
  ephemeral: zookeeper.CreateMode.EPHEMERAL,
  'persistent-sequential': zookeeper.CreateMode.PERSISTENT_SEQUENTIAL,
  'ephemeral-sequential': zookeeper.CreateMode.EPHEMERAL_SEQUENTIAL,
};

export function toLibraryAcl(acl: readonly AclEntry[]): ACL[] {
  return acl.map(
    ({ permissions, scheme, id }) =>
      new zookeeper.ACL(permissionBits(permissions), new zookeeper.Id(scheme, id)),
  );
}

export function fromLibraryAcl(acl: readonly ACL[]): AclEntry[] {
  return acl.map((entry) => {
    const { permission } = entry as unknown as { permission: number };
    const permissions = permissionsOf(permission);
    return {
      permissions: permissions.length === allPermissions.length ? allPermissions : permissions,
      scheme: entry.id.scheme,
      id: entry.id.id,
    };
  });
}

export function toStat(stat: LibraryStat): Stat {
  return {
    czxid: stat.czxid.readBigInt64BE(),
    mzxid: stat.mzxid.readBigInt64BE(),
    pzxid: stat.pzxid.readBigInt64BE(),
    createdAtMs: Number(stat.ctime.readBigInt64BE()),
    modifiedAtMs: Number(stat.mtime.readBigInt64BE()),
    version: stat.version,
    childrenVersion: stat.cversion,
    aclVersion: stat.aversion,
    ephemeralOwner: stat.ephemeralOwner.readBigInt64BE(),
    dataBytes: stat.dataLength,
    children: stat.numChildren,
  };
}

export function toWatchEvent(event: Event): WatchEvent {
  switch (event.getType()) {
    case zookeeper.Event.NODE_CREATED:
      return 'created';
    case zookeeper.Event.NODE_DELETED:
      return 'deleted';
    case zookeeper.Event.NODE_DATA_CHANGED:
      return 'changed';
    default:
      return 'children';
  }
}

const { Exception } = zookeeper;
const codes = new Map<number, ZooKeeperCode>([
  [Exception.CONNECTION_LOSS, 'zookeeper.connection_loss'],
  [Exception.SESSION_EXPIRED, 'zookeeper.session_lost'],
  [Exception.NO_NODE, 'zookeeper.no_node'],
  [Exception.NODE_EXISTS, 'zookeeper.node_exists'],
  [Exception.BAD_VERSION, 'zookeeper.bad_version'],
  [Exception.NOT_EMPTY, 'zookeeper.not_empty'],
  [Exception.NO_CHILDREN_FOR_EPHEMERALS, 'zookeeper.no_children_for_ephemerals'],
  [Exception.NO_AUTH, 'zookeeper.no_auth'],
  [Exception.AUTH_FAILED, 'zookeeper.auth_failed'],
  [Exception.INVALID_ACL, 'zookeeper.invalid_acl'],
  [Exception.BAD_ARGUMENTS, 'zookeeper.bad_arguments'],
]);

/** True if the error is an answer of the server; false if no answer came. */
export function isAnswer(error: unknown): boolean {
  return (
    !(error instanceof Exception) ||
    ![Exception.CONNECTION_LOSS, Exception.SESSION_EXPIRED].includes(error.code)
  );
}

/** Converts what the library threw or passed to a callback. */
export function toZooKeeperError(error: unknown, what: string, path: string | undefined): ZooKeeperError {
  if (error instanceof ZooKeeperError) return error;
  const code = error instanceof Exception ? codes.get(error.code) : undefined;
  return new ZooKeeperError(
    code ?? 'zookeeper.unexpected',
    `${what}${path === undefined ? '' : ` ${path}`}: ${code ?? String(error)}`,
    {
      path,
      cause: error,
      applied: isAnswer(error) ? 'no' : 'unknown',
    },
  );
}
