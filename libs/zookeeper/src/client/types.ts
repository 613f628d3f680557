/** The words of the client layer. */

/** What ZooKeeper knows of a node besides its data. Transaction ids are 64 bits wide. */
export interface Stat {
  /** The transaction that created it: unique, and growing over the life of the ensemble. An epoch. */
  czxid: bigint;
  /** The transaction that last changed its data. */
  mzxid: bigint;
  /** The transaction that last changed its children. */
  pzxid: bigint;
  createdAtMs: number;
  modifiedAtMs: number;
  /** Of the data; 0 when created. */
  version: number;
  childrenVersion: number;
  aclVersion: number;
  /** The session that owns it; 0n of a persistent node. */
  ephemeralOwner: bigint;
  dataBytes: number;
  children: number;
}

export interface NodeData {
  data: Buffer;
  stat: Stat;
}

export interface NodeChildren {
  /** Names, not paths, sorted. The server sends them in no order. */
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

/** Why a one-shot watch fired. `unlinked`: the connection broke, so read again once it stands. */
export type WatchEvent = 'created' | 'deleted' | 'changed' | 'children' | 'unlinked';

/** Fires exactly once per call that succeeded. */
export type Watcher = (event: WatchEvent) => void;

/** One part of a `multi`. */
export type Operation =
  | { type: 'create'; path: string; data?: Buffer; mode?: CreateMode; acl?: readonly AclEntry[] }
  | { type: 'delete'; path: string; version?: number }
  | { type: 'set'; path: string; data: Buffer; version?: number }
  | { type: 'check'; path: string; version: number };

/** What one part of a `multi` came to: the path of a create, the stat of a set. */
export interface OperationResult {
  path?: string;
  stat?: Stat;
}

/** One session. Another object is another session, even at the same server. */
export interface SessionHandle {
  readonly id: bigint;
  /** As the server granted it, which may be more or less than was asked. */
  readonly timeoutMs: number;
  /** Counts the sessions of this client from 1. */
  readonly number: number;
}
