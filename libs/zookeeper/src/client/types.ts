/** The types of the client layer. */

/** The metadata that ZooKeeper keeps of a node. Transaction ids are 64 bits wide. */
export interface Stat {
  /**
   * The transaction that created the node. It is unique and grows over the life of the ensemble, so
   * it serves as an epoch.
   */
  czxid: bigint;
  /** The transaction that last changed the node's data. */
  mzxid: bigint;
  /** The transaction that last changed the node's children. */
  pzxid: bigint;
  createdAtMs: number;
  modifiedAtMs: number;
  /** Version of the data; 0 at creation. */
  version: number;
  childrenVersion: number;
  aclVersion: number;
  /** The session that owns the node; 0n for a persistent node. */
  ephemeralOwner: bigint;
  dataBytes: number;
  children: number;
}

export interface NodeData {
  data: Buffer;
  stat: Stat;
}

export interface NodeChildren {
  /** Names, not paths, sorted. The server sends them in no particular order. */
  names: string[];
  stat: Stat;
}

export type CreateMode = 'persistent' | 'ephemeral' | 'persistent-sequential' | 'ephemeral-sequential';

export type Permission = 'read' | 'write' | 'create' | 'delete' | 'admin';

export interface AclEntry {
  permissions: readonly Permission[];
  scheme: string;
  id: string;
}

export interface Credentials {
  scheme: 'digest';
  /** `user:password` */
  secret: string;
}

/**
 * Why a one-shot watch fired. `unlinked`: the connection broke, so read again after the reconnect.
 */
export type WatchEvent = 'created' | 'deleted' | 'changed' | 'children' | 'unlinked';

/** Fires exactly once per successful call. */
export type Watcher = (event: WatchEvent) => void;

/** One part of a `multi`. */
export type Operation =
  | { type: 'create'; path: string; data?: Buffer; mode?: CreateMode; acl?: readonly AclEntry[] }
  | { type: 'delete'; path: string; version?: number }
  | { type: 'set'; path: string; data: Buffer; version?: number }
  | { type: 'check'; path: string; version: number };

/** The result of one part of a `multi`: the path of a create, the stat of a set. */
export interface OperationResult {
  path?: string;
  stat?: Stat;
}

/** One session. Another object means another session, even on the same server. */
export interface SessionHandle {
  readonly id: bigint;
  /** The timeout that the server granted, which may differ from the requested one. */
  readonly timeoutMs: number;
  /** Numbers the sessions of this client from 1. */
  readonly number: number;
}
