/** Decides which requests may be sent to a second node. */
import type { Progress } from '../../proxy/core/errors.ts';

/** Methods whose repetition changes nothing more (RFC 9110 §9.2.2). */
const idempotentMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/** True if a request may be sent again although a node may have worked on it. */
export function isRepeatable(method: string, idempotencyKey: unknown): boolean {
  return idempotentMethods.has(method) || (typeof idempotencyKey === 'string' && idempotencyKey !== '');
}

/** True if another node may be asked after one has given no answer. */
export function mayAskNext(repeatable: boolean, progress: Progress): boolean {
  return progress === 'unsent' || (repeatable && progress !== 'begun');
}

/** Statuses of a node that cannot answer now, such as one that is cut off from PostgreSQL. */
export function isUnfit(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}
