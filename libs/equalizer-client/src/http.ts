/** One try over HTTP, with its errors classified. */
import { isDocument, ProblemDocument } from '@thermomesh/contracts';
import { messageOf } from '@thermomesh/runtime';
import { EqualizerNoAnswerError, EqualizerRefusedError, type errorCodes } from './errors.ts';

export interface Call {
  method?: 'GET' | 'POST' | 'DELETE';
  route: string;
  headers?: Readonly<Record<string, string>>;
}

/** A call with its address and the key of the caller. */
export interface Ask {
  url: string;
  apiKey: string;
  call: Call;
}

/** Temporary statuses. */
const temporary = new Set([429, 502, 503, 504]);

/** Makes one try. @throws EqualizerNoAnswerError */
export async function call({ url, apiKey, call: what }: Ask, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(url + what.route, {
      method: what.method ?? 'GET',
      headers: headersOf(apiKey, what.headers),
      signal,
    });
  } catch (cause) {
    const why = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause;
    throw new EqualizerNoAnswerError(`${url} gave no answer: ${messageOf(why)}`, { cause });
  }
}

/** The headers of a call. */
export function headersOf(
  apiKey: string,
  more: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  return { authorization: `Bearer ${apiKey}`, ...more };
}

/**
 * Returns the response if it is a success.
 * @throws EqualizerRefusedError · EqualizerNoAnswerError
 */
export async function accepted(response: Response): Promise<Response> {
  if (response.ok) return response;
  const { status } = response;
  const value: unknown = await response.json().catch(() => undefined);
  const problem = isDocument(ProblemDocument, value) ? value : undefined;
  const detail = problem?.detail ?? problem?.title ?? `the equalizer answered ${status}`;
  if (temporary.has(status))
    throw new EqualizerNoAnswerError(detail, { retryAfterMs: retryAfterMs(response) });
  throw new EqualizerRefusedError(
    status,
    problem?.code ?? ('equalizer.refused' satisfies keyof typeof errorCodes),
    detail,
  );
}

/** Parses the body. @throws EqualizerNoAnswerError if the connection breaks before its end */
export async function json(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (cause) {
    throw new EqualizerNoAnswerError(`the answer broke off: ${messageOf(cause)}`, { cause });
  }
}

/** Parses seconds (RFC 9110 §10.2.3); 0 if the header is absent or invalid. */
function retryAfterMs(response: Response): number {
  const text = response.headers.get('retry-after') ?? '';
  return /^\d{1,6}$/.test(text) ? Number(text) * 1_000 : 0;
}
