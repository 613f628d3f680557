/**
 * Calls the card processor. A reply that is not a definite answer is "unknown": the processor may
 * have charged the card, or may do so later.
 */
import http from 'node:http';
import https from 'node:https';
import { isDocument, Nullable } from '@thermomesh/contracts';
import { codeOf, deriveToken, messageOf, passedOnRequestId, subjects } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { billingError } from '../core/errors.ts';
import type { Operation } from '../core/operation.ts';
import type { ProcessorClient, ProcessorReply } from '../core/ports.ts';

/** The fields of the processor's answer that billing reads; it ignores all others. */
const Answer = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 200 }),
  status: Type.Union([Type.Literal('charged'), Type.Literal('refunded'), Type.Literal('declined')]),
  reason: Nullable(Type.String({ maxLength: 500 })),
  amountMinor: Type.Integer(),
  currency: Type.String(),
});

export interface ProcessorClientOptions {
  url: string;
  secret: string;
  timeoutMs: number;
  /**
   * Maximum number of concurrent calls. Further calls wait for a connection within their timeout.
   */
  connectionsMax: number;
}

/** Maximum size of an answer. */
const answerBytesMax = 64 * 1024;

/**
 * Creates a client that keeps its connections. It uses `node:http`, which costs a third of what
 * `fetch` does for a call.
 */
export function createProcessorClient(options: ProcessorClientOptions): ProcessorClient {
  const authorization = `Bearer ${deriveToken(options.secret, subjects.operator)}`;
  const post = createPost(options);
  return {
    async send(operation, paymentToken) {
      const { kind, amountMinor, currency, processorKey, processorCharge } = operation;
      const body =
        kind === 'charge'
          ? { amountMinor, currency, paymentToken }
          : { amountMinor, currency, charge: processorCharge };
      try {
        const { status, text } = await post(
          `/v1/${kind}s`,
          { authorization, 'content-type': 'application/json', 'idempotency-key': processorKey },
          JSON.stringify(body),
        );
        if (status !== 201) return { known: false, reason: `status_${status}` };
        return judge(operation, JSON.parse(text));
      } catch (error) {
        return { known: false, reason: reasonOf(error) };
      }
    },
    close: () => post.close(),
  };
}

interface Post {
  (route: string, headers: http.OutgoingHttpHeaders, body: string): Promise<{ status: number; text: string }>;
  close(): void;
}

/** @throws MeshError `processor.timeout`, `processor.answer_too_large`; errors of the connection */
function createPost({ url, timeoutMs, connectionsMax }: ProcessorClientOptions): Post {
  const base = new URL(url);
  const { Agent, request } = base.protocol === 'https:' ? https : http;
  const agent = new Agent({ keepAlive: true, maxSockets: connectionsMax });
  const prefix = base.pathname.replace(/\/$/, '');
  const options = {
    agent,
    method: 'POST',
    protocol: base.protocol,
    // A URL writes an IPv6 address in brackets; they are not part of the address.
    hostname: base.hostname.replace(/^\[|\]$/g, ''),
    port: base.port,
  };
  const post = async (route: string, headers: http.OutgoingHttpHeaders, body: string) => {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
    const call = request({
      ...options,
      path: prefix + route,
      headers: { ...headers, ...passedOnRequestId(), 'content-length': Buffer.byteLength(body) },
    });
    const timer = setTimeout(
      () => call.destroy(billingError('processor.timeout', `no answer in ${timeoutMs} ms`)),
      timeoutMs,
    );
    call.on('error', reject);
    call.once('response', (response) => {
      readText(response).then((text) => resolve({ status: response.statusCode ?? 0, text }), reject);
    });
    call.end(body);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  };
  return Object.assign(post, { close: () => agent.destroy() });
}

async function readText(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > answerBytesMax)
      throw billingError('processor.answer_too_large', `more than ${answerBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * An answer about another amount, currency or kind than the request does not count as an answer.
 */
function judge({ kind, amountMinor, currency }: Operation, value: unknown): ProcessorReply {
  if (!isDocument(Answer, value)) return { known: false, reason: 'unreadable_answer' };
  const { id, status, reason }: Static<typeof Answer> = value;
  if (
    value.amountMinor !== amountMinor ||
    value.currency !== currency ||
    (status === 'refunded') !== (kind === 'refund' && status !== 'declined')
  )
    return { known: false, reason: 'answer_to_another_question' };
  const outcome = status === 'declined' ? 'declined' : 'charged';
  return { known: true, answer: { outcome, reference: id, reason: reason ?? null } };
}

function reasonOf(error: unknown): string {
  if (error instanceof SyntaxError) return 'unreadable_answer';
  return codeOf(error) ?? messageOf(error);
}
