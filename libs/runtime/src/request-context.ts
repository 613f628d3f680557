/** The id of the HTTP request that the present code works for; logs and calls carry it. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** The headers that carry the id of a request, in lower case. An answer has both. */
export const requestIdHeaders = ['request-id', 'x-request-id'] as const;

const context = new AsyncLocalStorage<string>();

/** The id of the present request; undefined outside of one. */
export function currentRequestId(): string | undefined {
  return context.getStore();
}

/** Calls `work`; until its last asynchronous step, the present request has the id. */
export function withRequestId<T>(id: string, work: () => T): T {
  return context.run(id, work);
}

/** The headers that pass the id of the present request on to another service. */
export function passedOnRequestId(): { 'request-id'?: string } {
  const id = currentRequestId();
  return id === undefined ? {} : { 'request-id': id };
}

/** Without spaces, quotes and control characters, so that an id can be searched for in a log. */
const idPattern = /^[\w.:/+=@-]{1,128}$/;

/** The id that the caller has given its request; a new UUID if there is none or it is malformed. */
export function requestIdOf(headers: IncomingHttpHeaders): string {
  for (const name of requestIdHeaders) {
    const id = headers[name];
    if (typeof id === 'string' && idPattern.test(id)) return id;
  }
  return randomUUID();
}
