/** Calls the card processor. Whatever is not a definite answer is "unknown": it may have charged, or may still be about to. */
import http from 'node:http';
import https from 'node:https';
import { isDocument } from '@thermomesh/contracts';
import { codeOf, deriveToken, MeshError, messageOf, subjects } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import type { ProcessorAnswer } from '../core/answer.ts';
import type { Operation } from '../core/operation.ts';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
/** What billing reads of the processor's answer; other fields are the processor's own business. */
const Answer = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 200 }),
  status: Type.Union([Type.Literal('charged'), Type.Literal('refunded'), Type.Literal('declined')]),
  reason: Nullable(Type.String({ maxLength: 500 })),
  amountMinor: Type.Integer(),
  currency: Type.String(),
});

/** `why` names the fault without anything of the request. */
export type ProcessorReply = { known: true; answer: ProcessorAnswer } | { known: false; why: string };

export interface ProcessorClient {
  /**
   * Sends the operation under its derived key; never throws for anything the processor or the way to it does.
   * @param paymentToken for charges
   */
  send(operation: Operation, paymentToken: string | undefined): Promise<ProcessorReply>;
  /** Ends its connections. */
  close(): void;
}

export interface ProcessorClientOptions {
  url: string;
  secret: string;
  timeoutMs: number;
  /** Calls under way at once; more wait for a connection, inside their own timeout. */
  connectionsMax: number;
}

/** An answer of the processor is read so far. */
const answerBytesMax = 64 * 1024;

/** Connections are kept: `node:http` costs a third of what `fetch` does for a call. */
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
        if (status !== 201) return { known: false, why: `status_${status}` };
        return judge(operation, JSON.parse(text));
      } catch (error) {
        return { known: false, why: reasonOf(error) };
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
    // Brackets are how a URL writes an IPv6 address, not part of it.
    hostname: base.hostname.replace(/^\[|\]$/g, ''),
    port: base.port,
  };
  const post = async (route: string, headers: http.OutgoingHttpHeaders, body: string) => {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
    const call = request({
      ...options,
      path: prefix + route,
      headers: { ...headers, 'content-length': Buffer.byteLength(body) },
    });
    const timer = setTimeout(
      () => call.destroy(new MeshError('processor.timeout', `no answer in ${timeoutMs} ms`)),
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
      throw new MeshError('processor.answer_too_large', `more than ${answerBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** An answer about another amount than the one asked for is no answer. */
function judge({ kind, amountMinor, currency }: Operation, value: unknown): ProcessorReply {
  if (!isDocument(Answer, value)) return { known: false, why: 'unreadable_answer' };
  const { id, status, reason }: Static<typeof Answer> = value;
  if (
    value.amountMinor !== amountMinor ||
    value.currency !== currency ||
    (status === 'refunded') !== (kind === 'refund' && status !== 'declined')
  )
    return { known: false, why: 'answer_to_another_question' };
  const outcome = status === 'declined' ? 'declined' : 'charged';
  return { known: true, answer: { outcome, reference: id, reason: reason ?? null } };
}

function reasonOf(error: unknown): string {
  if (error instanceof SyntaxError) return 'unreadable_answer';
  return codeOf(error) ?? messageOf(error);
}
