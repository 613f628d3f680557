/**
 * Access control. The tokens of devices, nodes, services and the mesh's own tools are derived from
 * one secret by HMAC-SHA-256; the API keys of people are kept as hashes in a file.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';

/** Minimum length of the secret of a mesh, in characters. */
export const secretCharsMin = 32;

/** The subjects for which tokens are derived. */
export const subjects = {
  device: (deviceId: string) => `device:${deviceId}`,
  node: (nodeId: number) => `node:${nodeId}`,
  /** A process that calls another one in its own name, as the gateway calls billing. */
  service: (name: string) => `service:${name}`,
  /** The tools and processes of the mesh that call its HTTP APIs. */
  operator: 'operator',
} as const;

/** Derives the token of `subject`: 43 characters of base64url. */
export function deriveToken(secret: string, subject: string): string {
  return createHmac('sha256', secret).update(subject).digest('base64url');
}

/** True if `token` belongs to `subject`. The comparison takes the same time for every token. */
export function verifyToken(secret: string, subject: string, token: string): boolean {
  return equal(deriveToken(secret, subject), token);
}

function equal(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** The permissions that an API key can have. */
export const apiScopes = ['read', 'checkout', 'images', 'admin'] as const;
export type ApiScope = (typeof apiScopes)[number];

/** A line of the key file. It contains the hash of a key, never the key. */
export interface ApiKeyRecord {
  id: string;
  sha256: string;
  scopes: ApiScope[];
  createdAt: string;
  /** True on a later line with the same id, which revokes the key. */
  revoked?: boolean;
}

/** The leading line break keeps the record apart from a line that a full disk has cut short. */
async function appendRecord(file: string, record: ApiKeyRecord): Promise<void> {
  await appendFile(file, `\n${JSON.stringify(record)}\n`, { mode: 0o600 });
}

/** Makes a key, appends its hash to `file` and returns the key. Only the hash is stored. */
export async function createApiKey(file: string, scopes: ApiScope[]): Promise<{ id: string; key: string }> {
  const id = randomBytes(6).toString('hex');
  const key = `tmk_${id}_${randomBytes(24).toString('base64url')}`;
  const record: ApiKeyRecord = { id, sha256: sha256(key), scopes, createdAt: new Date().toISOString() };
  await appendRecord(file, record);
  return { id, key };
}

/** Revokes a key; processes notice when they next read the file. */
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

/** The valid keys of `file`, and the number of its lines that are damaged. */
export function readApiKeys(file: string): { keys: ApiKeyRecord[]; damaged: number } {
  if (!existsSync(file)) return { keys: [], damaged: 0 };
  const { keys, damaged } = parseKeys(readFileSync(file, 'utf8'));
  return { keys: [...keys.values()], damaged };
}

/** Knows which bearer tokens are valid, and their scopes. */
export interface Gatekeeper {
  /** The scopes of the token; undefined if it is unknown. */
  scopesOf(bearer: string): readonly ApiScope[] | undefined;
}

/**
 * A gatekeeper for the operator token and the keys in `file`, which it reads again after each
 * change. The caller of a key is `key:<id>`, so a customer with a new key is a new caller. Deleting
 * the file revokes all keys.
 * @param onDamaged receives the number of lines that cannot be parsed. The other keys stay valid,
 *   but a damaged line may have been a revocation.
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

/** Also knows the names of callers, for services with idempotency keys or quotas per caller. */
export interface CallerGatekeeper extends Gatekeeper {
  /** The name of the caller with this token; undefined if it is unknown. */
  callerOf(bearer: string): string | undefined;
}

interface Caller {
  name: string;
  scopes: readonly ApiScope[];
}

/**
 * A gatekeeper for the operator token and the tokens of the services in `callers`, which maps the
 * name of each service to its scopes.
 */
export function createCallerGatekeeper(
  secret: string,
  callers: Readonly<Record<string, readonly ApiScope[]>>,
): CallerGatekeeper {
  // The lookup is by digest, so its duration does not reveal how much of a guessed token is right.
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
    const record = JSON.parse(line) as Partial<ApiKeyRecord> | null;
    if (typeof record !== 'object' || record === null) return undefined;
    const { id, sha256: hash, scopes } = record;
    const isRecord = typeof id === 'string' && typeof hash === 'string' && Array.isArray(scopes);
    return isRecord ? (record as ApiKeyRecord) : undefined;
  } catch {
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
