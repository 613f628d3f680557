/**
 * API keys, in a file of JSON lines that is only appended to. A later line with the same id
 * replaces the earlier one. The file contains the hashes of keys, never a key.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { equalInConstantTime, sha256 } from './digests.ts';
import { runtimeError } from './errors.ts';
import type { ApiScope } from './scopes.ts';

/** A secret that a rotation has replaced. */
interface PreviousSecret {
  sha256: string;
  /** End of the grace time in which it stays valid, RFC 3339. */
  validUntil: string;
}

/** A line of the key file. Lines of earlier versions have only the fields that are required. */
export interface ApiKeyRecord {
  id: string;
  sha256: string;
  scopes: ApiScope[];
  /** RFC 3339; in a line that revokes the key, the time of the revocation. */
  createdAt: string;
  /** What the key is for, in the words of its owner. */
  label?: string;
  /** RFC 3339; without it the key does not expire. */
  expiresAt?: string;
  rotatedAt?: string;
  /** Secrets that rotations have replaced, newest first. */
  previous?: PreviousSecret[];
  /** True on a later line with the same id, which revokes the key. */
  revoked?: boolean;
}

/** A key as the whole file describes it. */
export interface ApiKey extends Omit<ApiKeyRecord, 'revoked'> {
  /** RFC 3339; a revoked key never becomes valid again. */
  revokedAt?: string;
}

export type ApiKeyState = 'valid' | 'expired' | 'revoked';

/** What a new key is for, and how long it is valid. */
export interface ApiKeyOptions {
  label?: string;
  /** Without it the key does not expire. */
  expiresInMs?: number;
}

/** How many replaced secrets of a key are remembered. */
const previousSecretsMax = 8;

/** Makes a key, appends its hash to `file` and returns the key. Only the hash is stored. */
export async function createApiKey(
  file: string,
  scopes: ApiScope[],
  { label, expiresInMs }: ApiKeyOptions = {},
): Promise<{ id: string; key: string; expiresAt: string | null }> {
  const id = randomBytes(6).toString('hex');
  const key = newKey(id);
  const nowMs = Date.now();
  const expiresAt = expiresInMs === undefined ? null : timeText(nowMs + expiresInMs);
  await append(file, {
    id,
    sha256: sha256(key),
    scopes,
    createdAt: timeText(nowMs),
    ...(label === undefined ? {} : { label }),
    ...(expiresAt === null ? {} : { expiresAt }),
  });
  return { id, key, expiresAt };
}

/**
 * Gives a key a new secret. Its id, scopes and owner's orders and images stay; the old secret is
 * valid for `graceMs` more. With `expiresInMs` the key gets a new expiry.
 * @throws MeshError `access.no_such_key` if no valid key has this id
 */
export async function rotateApiKey(
  file: string,
  id: string,
  { graceMs, expiresInMs }: { graceMs: number; expiresInMs?: number },
): Promise<{ id: string; key: string; previousValidUntil: string; expiresAt: string | null }> {
  const nowMs = Date.now();
  const { revokedAt: _revokedAt, ...known } = requireValid(file, id, nowMs);
  const key = newKey(id);
  const previousValidUntil = timeText(nowMs + graceMs);
  const expiresAt = expiresInMs === undefined ? known.expiresAt : timeText(nowMs + expiresInMs);
  const previous = [{ sha256: known.sha256, validUntil: previousValidUntil }, ...(known.previous ?? [])];
  await append(file, {
    ...known,
    sha256: sha256(key),
    rotatedAt: timeText(nowMs),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    previous: previous.slice(0, previousSecretsMax),
  });
  return { id, key, previousValidUntil, expiresAt: expiresAt ?? null };
}

/**
 * Revokes a key, with every secret that it has had. Processes notice at the next request.
 * @throws MeshError `access.no_such_key` if no valid key has this id
 */
export async function revokeApiKey(file: string, id: string): Promise<void> {
  const nowMs = Date.now();
  requireValid(file, id, nowMs);
  await append(file, { id, sha256: '', scopes: [], createdAt: timeText(nowMs), revoked: true });
}

/** All keys of `file`, revoked and expired ones included, and the number of damaged lines. */
export function readApiKeys(file: string): { keys: ApiKey[]; damaged: number } {
  if (!existsSync(file)) return { keys: [], damaged: 0 };
  const { keys, damaged } = parseApiKeys(readFileSync(file, 'utf8'));
  return { keys: [...keys.values()], damaged };
}

/** Whether a key is valid at `nowMs`, Unix ms. An expiry that cannot be parsed has passed. */
export function apiKeyState({ revokedAt, expiresAt }: ApiKey, nowMs: number): ApiKeyState {
  if (revokedAt !== undefined) return 'revoked';
  return expiresAt === undefined || Date.parse(expiresAt) > nowMs ? 'valid' : 'expired';
}

/** What a bearer token is; `at` is the time since which it is no longer valid. */
export type JudgedKey =
  { state: 'valid'; key: ApiKey } | { state: 'expired' | 'revoked' | 'rotated'; key: ApiKey; at: string };

/**
 * Judges a bearer token; undefined if it is no key, or its secret is wrong. The secrets are
 * compared in constant time, and an unknown id takes as long as a known one.
 */
export function judgeApiKey(
  keys: ReadonlyMap<string, ApiKey>,
  bearer: string,
  nowMs: number,
): JudgedKey | undefined {
  const id = /^tmk_([0-9a-f]{12})_/.exec(bearer)?.[1];
  const key = keys.get(id ?? '');
  const hash = sha256(bearer);
  const isCurrent = equalInConstantTime(key?.sha256 ?? '', hash);
  const previous = key?.previous?.filter((secret) => equalInConstantTime(secret.sha256, hash))[0];
  if (key === undefined || !(isCurrent || previous !== undefined)) return undefined;
  const state = apiKeyState(key, nowMs);
  if (state === 'revoked') return { state, key, at: key.revokedAt ?? '' };
  if (state === 'expired') return { state, key, at: key.expiresAt ?? '' };
  if (!isCurrent && previous !== undefined && !(Date.parse(previous.validUntil) > nowMs))
    return { state: 'rotated', key, at: previous.validUntil };
  return { state, key };
}

/** Parses the text of a key file. */
export function parseApiKeys(text: string): { keys: Map<string, ApiKey>; damaged: number } {
  const keys = new Map<string, ApiKey>();
  let damaged = 0;
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const record = parseRecord(line);
    if (record === undefined) damaged++;
    else merge(keys, record);
  }
  return { keys, damaged };
}

/** A revocation is final: a rotation that was written at the same moment does not undo it. */
function merge(keys: Map<string, ApiKey>, { revoked, ...record }: ApiKeyRecord): void {
  const known = keys.get(record.id);
  if (known?.revokedAt !== undefined) return;
  if (revoked !== true) keys.set(record.id, record);
  else if (known !== undefined) keys.set(record.id, { ...known, revokedAt: record.createdAt });
}

function requireValid(file: string, id: string, nowMs: number): ApiKey {
  const key = readApiKeys(file).keys.find((each) => each.id === id);
  if (key === undefined) throw runtimeError('access.no_such_key', `there is no key "${id}"`);
  const state = apiKeyState(key, nowMs);
  if (state === 'valid') return key;
  throw runtimeError('access.no_such_key', `there is no valid key "${id}": it is ${state}`);
}

/** The leading line break keeps the record apart from a line that a full disk has cut short. */
async function append(file: string, record: ApiKeyRecord): Promise<void> {
  await appendFile(file, `\n${JSON.stringify(record)}\n`, { mode: 0o600 });
}

function newKey(id: string): string {
  return `tmk_${id}_${randomBytes(24).toString('base64url')}`;
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

function parseRecord(line: string): ApiKeyRecord | undefined {
  try {
    const record = JSON.parse(line) as Partial<ApiKeyRecord> | null;
    if (typeof record !== 'object' || record === null) return undefined;
    const { id, sha256: hash, scopes, previous = [] } = record;
    const isRecord = typeof id === 'string' && typeof hash === 'string' && Array.isArray(scopes);
    const hasSecrets = Array.isArray(previous) && previous.every((each) => typeof each?.sha256 === 'string');
    return isRecord && hasSecrets ? (record as ApiKeyRecord) : undefined;
  } catch {
    return undefined;
  }
}
