/** The headers that the gateway passes on with a request and with its answer. */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { HttpReply } from '@thermomesh/runtime';
import type { Answer } from '../core/ports.ts';

/** Headers that belong to one connection (RFC 9110 §7.6.1), in lower case. */
const connectionHeaders = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'trailer'];

/** Beside those of the connection: headers that the gateway sets itself or keeps to itself. */
const notForwarded = new Set([
  ...connectionHeaders,
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'upgrade',
  'host',
  'expect',
  'authorization',
  'cookie',
  'origin',
  'thermomesh-caller',
  'content-length',
]);
const notReturned = new Set(connectionHeaders);

/** The caller's headers that a node gets. The length of a body is not among them. */
export function forwardedHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const forwarded: OutgoingHttpHeaders = {};
  // The header Connection names further headers that belong to the connection.
  const named = new Set(
    String(headers.connection ?? '')
      .toLowerCase()
      .split(/\s*,\s*/),
  );
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !notForwarded.has(name) && !named.has(name)) forwarded[name] = value;
  return forwarded;
}

/** Sets status and headers of a node's answer; the body is the caller's to send. */
export function returnHead(reply: HttpReply, { status, headers }: Answer): void {
  void reply.code(status);
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !notReturned.has(name)) void reply.header(name, value);
}
