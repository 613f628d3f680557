/** One try over HTTP; its error says whether billing may have received the request. */
import { isDocument, ProblemDocument } from '@thermomesh/contracts';
import { codeOf, passedOnRequestId } from '@thermomesh/runtime';
import { BillingNoAnswerError, BillingRefusedError, type errorCodes, type NoAnswerReason } from './errors.ts';

export interface Call {
  method: 'GET' | 'POST';
  route: string;
  key?: string;
  body?: unknown;
}

/** Temporary statuses. 500 is not among them: it is a bug of billing. */
const reasons: Record<number, NoAnswerReason> = {
  409: 'running',
  429: 'unavailable',
  502: 'unavailable',
  503: 'unavailable',
  504: 'unavailable',
};

/** Failures of the connection before a byte of the request was sent. */
const unreachable = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Makes one try and returns the document. @throws BillingRefusedError · BillingNoAnswerError */
export async function send(
  url: string,
  token: string,
  { method, route, key, body }: Call,
  timeoutMs: number,
  deadline: AbortSignal,
): Promise<unknown> {
  let response: Response;
  let value: unknown;
  try {
    response = await fetch(url + route, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...passedOnRequestId(),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), deadline]),
    });
    value = await response.json();
  } catch (cause) {
    throw noAnswer(cause);
  }
  if (response.ok) return value;
  const { status } = response;
  const reason = reasons[status];
  if (reason !== undefined) {
    // Billing may send a 503 after it has claimed the key: only a refused connection is certain.
    throw new BillingNoAnswerError(reason, { sent: true, retryAfterMs: retryAfterMs(response) });
  }
  if (status >= 500) throw new BillingNoAnswerError('failed', { sent: true, retriable: false });
  const problem = isDocument(ProblemDocument, value) ? value : undefined;
  throw new BillingRefusedError(
    status,
    problem?.code ?? ('billing.refused' satisfies keyof typeof errorCodes),
    problem?.detail ?? `billing answered ${status}`,
  );
}

function noAnswer(cause: unknown): BillingNoAnswerError {
  const name = cause instanceof Error ? cause.name : '';
  if (name === 'TimeoutError' || name === 'AbortError')
    return new BillingNoAnswerError('timeout', { sent: true, cause });
  const code = codeOf(cause instanceof Error ? cause.cause : undefined);
  return code !== undefined && unreachable.has(code)
    ? new BillingNoAnswerError('unreachable', { sent: false, cause })
    : new BillingNoAnswerError('broken', { sent: true, cause });
}

/** Parses seconds or a date (RFC 9110 §10.2.3); 0 if the header is absent or invalid. */
function retryAfterMs(response: Response): number {
  const text = response.headers.get('retry-after');
  if (text === null) return 0;
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : 0;
}
