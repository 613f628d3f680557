/** Which server a mesh has worked with, and whether another one may replace it (ADR 0020). */

/** The servers that a mesh remembers. */
export type ServerKind = 'database';

/** What the mesh remembers of a server. */
export interface KnownServer {
  /** UUID. */
  id: string;
  /** The address for people, without a password; null for the mesh's own server. */
  address: string | null;
  /** True if an operator has adopted it in place of another one. */
  adopted?: boolean;
}

/** What the mesh finds at the address that it was given. */
export interface FoundServer {
  /** Null without an address: the mesh's own server. */
  address: string | null;
  /** Null if the server has no identity yet. */
  id: string | null;
  /** The mesh that works with it, if it is known. */
  mesh: { id: string; name: string } | null;
  /** True if that mesh works with it at this moment. */
  inUse: boolean;
}

/** Why the server may not be used. */
export type Mismatch =
  /** The mesh knows another one. */
  | { why: 'other_server'; known: KnownServer }
  /** Another mesh works with it. */
  | { why: 'other_mesh'; mesh: string; inUse: boolean };

const settings: Record<ServerKind, string> = {
  database: 'DATABASE_URL',
};
const names: Record<ServerKind, string> = {
  database: 'PostgreSQL',
};
const contents: Record<ServerKind, string> = {
  database: 'its readings, orders and accounts',
};

/**
 * Compares the server that was found with the one that the mesh knows. Undefined: it may be used.
 * @param mesh id of the mesh
 */
export function judgeServer(
  mesh: string,
  known: KnownServer | undefined,
  found: FoundServer,
): Mismatch | undefined {
  // The first use is trusted; but a mesh that knows a server does not take an empty one for it.
  if (known !== undefined && found.id !== known.id) return { why: 'other_server', known };
  if (found.mesh !== null && found.mesh.id !== mesh)
    return { why: 'other_mesh', mesh: found.mesh.name, inUse: found.inUse };
  return undefined;
}

/**
 * True if the operator's word is enough. It is not while another mesh works with the server: both
 * would write to it.
 * @param mesh id of the mesh
 */
export function mayAdopt(mesh: string, { inUse, mesh: owner }: FoundServer): boolean {
  return !inUse || owner?.id === mesh;
}

/** The refusal in the words of an operator: what does not fit, and the ways out. */
export function describeMismatch(
  name: string,
  kind: ServerKind,
  found: FoundServer,
  mismatch: Mismatch,
): string {
  const setting = settings[kind];
  const given =
    found.address === null
      ? `the mesh's own ${names[kind]}`
      : `${names[kind]} at ${found.address} (${setting})`;
  const lines = [`${given} ${reasonOf(name, kind, mismatch)}. Nothing was changed. Choose:`];
  if (mismatch.why === 'other_server') lines.push(`  go back   ${wayBack(setting, mismatch.known)}`);
  else
    lines.push(
      `  go back   ${found.address === null ? 'start it under its own name' : `unset ${setting}, or name another server`}`,
    );
  const blocked = found.inUse ? ' (not now: another mesh works with it; stop that first)' : '';
  lines.push(`  adopt it  mesh up --name ${name} --adopt ${kind}${blocked}`);
  lines.push(`  another   mesh up --name <name> starts another mesh with it`);
  return lines.join('\n');
}

function reasonOf(name: string, kind: ServerKind, mismatch: Mismatch): string {
  if (mismatch.why === 'other_mesh')
    return `belongs to the mesh "${mismatch.mesh}"${mismatch.inUse ? ', which works with it now' : ''}`;
  const where = mismatch.known.address === null ? "the mesh's own server" : mismatch.known.address;
  return `is not the one that the mesh "${name}" has worked with: ${contents[kind]} are in ${where}`;
}

function wayBack(setting: string, { address }: KnownServer): string {
  return address === null ? `unset ${setting}: the mesh's own server has its data` : `${setting}=${address}`;
}
