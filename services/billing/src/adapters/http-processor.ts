/** Calls the card processor. Whatever is not a definite answer is "unknown": it may have charged, or may still be about to. */
import { isDocument } from '@thermomesh/contracts';
import { codeOf, deriveToken, messageOf, subjects } from '@thermomesh/runtime';
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
}

export interface ProcessorClientOptions {
  url: string;
  secret: string;
  timeoutMs: number;
}

export function createProcessorClient({ url, secret, timeoutMs }: ProcessorClientOptions): ProcessorClient {
  const authorization = `Bearer ${deriveToken(secret, subjects.operator)}`;
  return {
    async send(operation, paymentToken) {
      const { kind, amountMinor, currency, processorKey, processorCharge } = operation;
      const body =
        kind === 'charge'
          ? { amountMinor, currency, paymentToken }
          : { amountMinor, currency, charge: processorCharge };
      try {
        const response = await fetch(`${url}/v1/${kind}s`, {
          method: 'POST',
          headers: { authorization, 'content-type': 'application/json', 'idempotency-key': processorKey },
          body: JSON.stringify(body),
          signal: AbortSignal.timeout(timeoutMs),
        });
        if (response.status !== 201) {
          await response.body?.cancel();
          return { known: false, why: `status_${response.status}` };
        }
        return judge(operation, await response.json());
      } catch (error) {
        return { known: false, why: reasonOf(error) };
      }
    },
  };
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
  if (error instanceof Error && error.name === 'TimeoutError') return 'timeout';
  if (error instanceof SyntaxError) return 'unreadable_answer';
  const cause = error instanceof Error ? error.cause : undefined;
  return codeOf(cause) ?? codeOf(error) ?? messageOf(error);
}
