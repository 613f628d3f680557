/**
 * Who may speak: tokens of devices, nodes and the mesh's own tools, derived from one secret by HMAC-SHA-256, and API keys of
 * people, kept as hashes in a file.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';

/** Shortest secret of a mesh, in characters. */
export const secretCharsMin = 32;

/** Subjects of tokens. */
export const subjects = {
  device: (deviceId: string) => `device:${deviceId}`,
  node: (nodeId: number) => `node:${nodeId}`,
  /** A process that calls another one in its own name, such as the gateway at billing. */
  service: (name: string) => `service:${name}`,
  /** The mesh's own tools and processes on HTTP. */
  operator: 'operator',
} as const;

/** The token of `subject`: 43 characters of base64url. */
export function deriveToken(secret: string, subject: string): string {
  return createHmac('sha256', secret).update(subject).digest('base64url');
}

/** True if `token` is the one of `subject`; takes the same time wherever they differ. */
export function verifyToken(secret: string, subject: string, token: string): boolean {
  return equal(deriveToken(secret, subject), token);
}

function equal(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** What an API key allows. */
export const apiScopes = ['read', 'checkout', 'images', 'admin'] as const;
export type ApiScope = (typeof apiScopes)[number];

/** A line of the key file: the hash, never the key. */
export interface ApiKeyRecord {
  id: string;
  sha256: string;
  scopes: ApiScope[];
  createdAt: string;
  /** Set on a later line for the same id to end a key. */
  revoked?: boolean;
}

/** A line of its own, also behind one that a full disk has torn. */
async function appendRecord(file: string, record: ApiKeyRecord): Promise<void> {
  await appendFile(file, `\n${JSON.stringify(record)}\n`, { mode: 0o600 });
}

/** Makes a key, appends its hash to `file` and returns the key, which is shown once. */
export async function createApiKey(file: string, scopes: ApiScope[]): Promise<{ id: string; key: string }> {
  const id = randomBytes(6).toString('hex');
  const key = `tmk_${id}_${randomBytes(24).toString('base64url')}`;
  const record: ApiKeyRecord = { id, sha256: sha256(key), scopes, createdAt: new Date().toISOString() };
  await appendRecord(file, record);
  return { id, key };
}

/** Ends a key; processes notice at their next look at the file. */
export async function revokeApiKey(file: string, id: string): Promise<void> {
  const record: ApiKeyRecord = {
    id,
    sha256: '',
    scopes: [],
    createdAt: new Date().toISOString(),
    revoked: true,
  };
  await appendRecord(file, record);
}

/** Decides on a bearer token of HTTP: the scopes it has, or undefined if it is unknown. */
export interface Gatekeeper {
  scopesOf(bearer: string): readonly ApiScope[] | undefined;
}

/**
 * Knows the operator token and the keys in `file`, which is read again when it has changed. A key's caller is `key:<id>`: it outlives
 * no key, so a customer that is given a new key begins anew. A file that is deleted ends all its keys.
 * @param onDamaged lines of the file cannot be read: the other keys go on, but a revocation may be among them
 */
export function createGatekeeper(
  secret: string,
  file: string | undefined,
  onDamaged: (lines: number) => void = () => undefined,
): CallerGatekeeper {
  let keys = new Map<string, ApiKeyRecord>();
  let readAt = '';
  function refresh(): void {
    if (file === undefined) return;
    if (!existsSync(file)) {
      keys = new Map();
      readAt = '';
      return;
    }
    const stat = statSync(file);
    const version = `${stat.mtimeMs}/${stat.size}`;
    if (version === readAt) return;
    const parsed = parseKeys(readFileSync(file, 'utf8'));
    keys = parsed.keys;
    readAt = version;
    if (parsed.damaged > 0) onDamaged(parsed.damaged);
  }
  function find(bearer: string): Caller | undefined {
    if (verifyToken(secret, subjects.operator, bearer)) return { name: subjects.operator, scopes: apiScopes };
    refresh();
    const id = /^tmk_([0-9a-f]{12})_/.exec(bearer)?.[1];
    const record = id === undefined ? undefined : keys.get(id);
    return record !== undefined && equal(record.sha256, sha256(bearer))
      ? { name: `key:${record.id}`, scopes: record.scopes }
      : undefined;
  }
  return {
    scopesOf: (bearer) => find(bearer)?.scopes,
    callerOf: (bearer) => find(bearer)?.name,
  };
}

/** Knows callers by name too, for services whose keys or quotas are per caller. */
export interface CallerGatekeeper extends Gatekeeper {
  /** The name of the caller that this bearer is; undefined if it is unknown. */
  callerOf(bearer: string): string | undefined;
}

interface Caller {
  name: string;
  scopes: readonly ApiScope[];
}

/** Knows the services named in `callers`, each by its own derived token and with its scopes, and the operator. */
export function createCallerGatekeeper(
  secret: string,
  callers: Readonly<Record<string, readonly ApiScope[]>>,
): CallerGatekeeper {
  // Looked up by digest: how long it takes says nothing about how much of a guessed token was right.
  const byDigest = new Map<string, Caller>([
    [sha256(deriveToken(secret, subjects.operator)), { name: subjects.operator, scopes: apiScopes }],
  ]);
  for (const [name, scopes] of Object.entries(callers))
    byDigest.set(sha256(deriveToken(secret, subjects.service(name))), { name, scopes });
  return {
    scopesOf: (bearer) => byDigest.get(sha256(bearer))?.scopes,
    callerOf: (bearer) => byDigest.get(sha256(bearer))?.name,
  };
}

function parseKeys(text: string): { keys: Map<string, ApiKeyRecord>; damaged: number } {
  const keys = new Map<string, ApiKeyRecord>();
  let damaged = 0;
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const record = parseRecord(line);
    if (record === undefined) damaged++;
    else if (record.revoked === true) keys.delete(record.id);
    else keys.set(record.id, record);
  }
  return { keys, damaged };
}

function parseRecord(line: string): ApiKeyRecord | undefined {
  try {
    return JSON.parse(line) as ApiKeyRecord;
  } catch {
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
