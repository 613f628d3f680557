/** `identity.json`: the id of the mesh, and the servers that it has worked with (ADR 0020). */
import { randomUUID } from 'node:crypto';
import type { Layout } from '../../mesh/files/layout.ts';
import { readJson, writeJson } from '../../mesh/files/files.ts';
import type { KnownServer, ServerKind } from './servers.ts';

export interface MeshIdentity {
  /** UUID of the mesh. */
  mesh: string;
  servers: Partial<Record<ServerKind, KnownServer>>;
}

/** What the mesh remembers; its id is made at the first call. */
export function ensureIdentity(layout: Layout): MeshIdentity {
  const known = readJson<MeshIdentity>(layout.identityFile);
  if (known !== undefined) return known;
  const made: MeshIdentity = { mesh: randomUUID(), servers: {} };
  writeJson(layout.identityFile, made);
  return made;
}

/** Remembers a server in place of the former one of its kind. */
export function rememberServer(layout: Layout, kind: ServerKind, server: KnownServer): void {
  const identity = ensureIdentity(layout);
  writeJson(layout.identityFile, { ...identity, servers: { ...identity.servers, [kind]: server } });
}
