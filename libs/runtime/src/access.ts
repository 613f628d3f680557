/**
 * Access control. The tokens of devices, nodes, services and the mesh's own tools are derived from
 * one secret by HMAC-SHA-256; the API keys of people are kept as hashes in a file (`api-keys.ts`).
 */
import { createHmac } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { judgeApiKey, parseApiKeys, type ApiKey } from './api-keys.ts';
import { equalInConstantTime, sha256 } from './digests.ts';
import { createKeyUses } from './key-uses.ts';
import { apiScopes, type ApiScope } from './scopes.ts';

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
  return equalInConstantTime(deriveToken(secret, subject), token);
}

/** Knows which bearer tokens are valid, and their scopes. */
export interface Gatekeeper {
  /** The scopes of the token; undefined if it is unknown or no longer valid. */
  scopesOf(bearer: string): readonly ApiScope[] | undefined;
  /**
   * Why the mesh no longer accepts a key that it has issued; undefined for any other token. Only
   * the holder of the whole key gets an answer: an id with another secret is an unknown key.
   */
  refusalOf?(bearer: string): KeyRefusal | undefined;
}

/** The answer to a request with a key that is no longer valid. */
export interface KeyRefusal {
  code: 'access.expired_key' | 'access.revoked_key' | 'access.rotated_key';
  /** One sentence for the caller. */
  detail: string;
}

/** What a gatekeeper reports, and its clock. */
export interface GatekeeperOptions {
  /** Receives an error that kept the last use of a key from being recorded; once per error code. */
  onUseUnrecorded?: (error: unknown) => void;
  /** Returns Unix ms. */
  now?: () => number;
}

/**
 * A gatekeeper for the operator token and the keys in `file`, which it reads again after each
 * change. The caller of a key is `key:<id>`, so a customer with a new key is a new caller, and a
 * rotated key stays the same caller. Deleting the file revokes all keys.
 * @param onDamaged receives the number of lines that cannot be parsed. The other keys stay valid,
 *   but a damaged line may have been a revocation.
 */
export function createGatekeeper(
  secret: string,
  file: string | undefined,
  onDamaged: (lines: number) => void = () => undefined,
  { onUseUnrecorded = () => undefined, now = Date.now }: GatekeeperOptions = {},
): CallerGatekeeper {
  let keys: ReadonlyMap<string, ApiKey> = new Map();
  let readAt = '';
  const uses = file === undefined ? undefined : createKeyUses(file, { now, onError: onUseUnrecorded });
  function refresh(): void {
    if (file === undefined) return;
    if (!existsSync(file)) {
      keys = new Map();
      readAt = '';
      return;
    }
    const stat = statSync(file);
    const version = `${stat.ino}/${stat.mtimeMs}/${stat.size}`;
    if (version === readAt) return;
    const parsed = parseApiKeys(readFileSync(file, 'utf8'));
    keys = parsed.keys;
    readAt = version;
    if (parsed.damaged > 0) onDamaged(parsed.damaged);
  }
  function judge(bearer: string) {
    refresh();
    return judgeApiKey(keys, bearer, now());
  }
  function find(bearer: string): Caller | undefined {
    if (verifyToken(secret, subjects.operator, bearer)) return { name: subjects.operator, scopes: apiScopes };
    const judged = judge(bearer);
    if (judged?.state !== 'valid') return undefined;
    uses?.record(judged.key.id);
    return { name: `key:${judged.key.id}`, scopes: judged.key.scopes };
  }
  return {
    scopesOf: (bearer) => find(bearer)?.scopes,
    callerOf: (bearer) => find(bearer)?.name,
    refusalOf(bearer) {
      const judged = judge(bearer);
      if (judged === undefined || judged.state === 'valid') return undefined;
      return { code: `access.${judged.state}_key`, detail: refusalDetails[judged.state](judged.at) };
    },
  };
}

const refusalDetails = {
  expired: (at: string) => `this key expired at ${at}: "mesh api-key create" makes another`,
  revoked: (at: string) => `this key was revoked at ${at}: "mesh api-key create" makes another`,
  rotated: (at: string) => `this secret was replaced by "mesh api-key rotate", and was valid until ${at}`,
} as const;

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
