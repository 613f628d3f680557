/**
 * Short, authenticated requests to the mesh's own processes; answers are checked against schemas.
 */
import { documentIssues, type DocumentOf, type DocumentSchema } from '@thermomesh/contracts';
import { deriveToken, MeshError, subjects } from '@thermomesh/runtime';
import { meshError } from '../errors.ts';

/** A healthy process answers in milliseconds, and a frozen one must not delay a status. */
export const answerTimeoutMs = 1_500;

const keyHeader = 'idempotency-key';

export interface MeshHttp {
  /**
   * Reads a document.
   * @throws MeshError `mesh.no_answer`, `mesh.bad_answer`
   */
  get<S extends DocumentSchema>(url: string, schema: S): Promise<DocumentOf<S>>;
  /** Sends a JSON body; otherwise as {@link get}. */
  put<S extends DocumentSchema>(url: string, schema: S, body: unknown): Promise<DocumentOf<S>>;
  /** Sends a JSON body; otherwise as {@link get}. */
  post<S extends DocumentSchema>(url: string, schema: S, body: unknown): Promise<DocumentOf<S>>;
  /**
   * Sends a JSON body under an Idempotency-Key; otherwise as {@link get}.
   * @throws MeshError `mesh.refused` with the reason, if the process refuses the request
   */
  postOnce<S extends DocumentSchema>(
    url: string,
    schema: S,
    request: { body: unknown; key: string },
  ): Promise<DocumentOf<S>>;
  /**
   * Sends a request without a body, whose refusal (4xx) is an answer; otherwise as {@link get}.
   * @throws MeshError `mesh.refused` with the reason, if the process refuses the request
   */
  act<S extends DocumentSchema>(
    method: 'GET' | 'POST' | 'DELETE',
    url: string,
    schema: S,
  ): Promise<DocumentOf<S>>;
  delete<S extends DocumentSchema>(url: string, schema: S): Promise<DocumentOf<S>>;
  /** Reads text, such as metrics; undefined if there is no answer. */
  text(url: string): Promise<string | undefined>;
  /** Resolves with true if the address answers 2xx. */
  ok(url: string): Promise<boolean>;
}

/** Creates a client with the operator's token, which is derived from the mesh's secret. */
export function createMeshHttp(secret: string, timeoutMs = answerTimeoutMs): MeshHttp {
  const authorization = `Bearer ${deriveToken(secret, subjects.operator)}`;
  const request = async (url: string, init: RequestInit = {}) =>
    fetch(url, {
      ...init,
      headers: {
        authorization,
        ...init.headers,
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      signal: AbortSignal.timeout(timeoutMs),
    });
  async function ask<S extends DocumentSchema>(
    url: string,
    schema: S,
    init?: RequestInit,
    isRefusal = new Headers(init?.headers).has(keyHeader),
  ): Promise<DocumentOf<S>> {
    let body: unknown;
    try {
      const answer = await request(url, init);
      if (isRefusal && answer.status >= 400 && answer.status < 500)
        throw meshError('mesh.refused', await reasonOf(answer));
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      body = await answer.json();
    } catch (error) {
      if (error instanceof MeshError) throw error;
      throw meshError('mesh.no_answer', `no answer from ${url}`, { cause: error });
    }
    const issues = documentIssues(schema, body);
    if (issues.length > 0)
      throw meshError('mesh.bad_answer', `the answer of ${url} is invalid: ${issues.join('; ')}`);
    return body as DocumentOf<S>;
  }
  return {
    get: async (url, schema) => ask(url, schema),
    put: async (url, schema, body) => ask(url, schema, { method: 'PUT', body: JSON.stringify(body) }),
    post: async (url, schema, body) => ask(url, schema, { method: 'POST', body: JSON.stringify(body) }),
    postOnce: async (url, schema, { body, key }) =>
      ask(url, schema, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { [keyHeader]: key },
      }),
    act: async (method, url, schema) => ask(url, schema, { method }, true),
    delete: async (url, schema) => ask(url, schema, { method: 'DELETE' }),
    async text(url) {
      return request(url).then(
        async (answer) => (answer.ok ? answer.text() : undefined),
        () => undefined,
      );
    },
    async ok(url) {
      return request(url).then(
        async (answer) => {
          await answer.body?.cancel();
          return answer.ok;
        },
        () => false,
      );
    },
  };
}

/** The reason that a problem document gives; the status if there is none. */
async function reasonOf(answer: Response): Promise<string> {
  const problem = (await answer.json().catch(() => undefined)) as { detail?: unknown } | undefined;
  return typeof problem?.detail === 'string' ? problem.detail : `HTTP ${answer.status}`;
}
