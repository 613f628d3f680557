/** Requests to the mesh's own processes: short, authenticated, answers checked against their schemas. */
import { documentFaults, type DocumentOf, type DocumentSchema } from '@thermomesh/contracts';
import { deriveToken, MeshError, subjects } from '@thermomesh/runtime';

/** A process that lives answers in milliseconds; a frozen one must not hold up a status. */
export const answerTimeoutMs = 1_500;

export interface MeshHttp {
  /** The document. @throws MeshError `mesh.no_answer`, `mesh.bad_answer` */
  get<S extends DocumentSchema>(url: string, schema: S): Promise<DocumentOf<S>>;
  /** As {@link get}, with a JSON body. */
  put<S extends DocumentSchema>(url: string, schema: S, body: unknown): Promise<DocumentOf<S>>;
  delete<S extends DocumentSchema>(url: string, schema: S): Promise<DocumentOf<S>>;
  /** The text, such as metrics; undefined if there is no answer. */
  text(url: string): Promise<string | undefined>;
  /** True if the address answers 2xx. */
  ok(url: string): Promise<boolean>;
}

/** A client with the operator's token, which the mesh's secret gives. */
export function createMeshHttp(secret: string, timeoutMs = answerTimeoutMs): MeshHttp {
  const authorization = `Bearer ${deriveToken(secret, subjects.operator)}`;
  const request = async (url: string, init: RequestInit = {}) =>
    fetch(url, {
      ...init,
      headers: { authorization, ...(init.body === undefined ? {} : { 'content-type': 'application/json' }) },
      signal: AbortSignal.timeout(timeoutMs),
    });
  async function ask<S extends DocumentSchema>(
    url: string,
    schema: S,
    init?: RequestInit,
  ): Promise<DocumentOf<S>> {
    let body: unknown;
    try {
      const answer = await request(url, init);
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      body = await answer.json();
    } catch (error) {
      throw new MeshError('mesh.no_answer', `no answer from ${url}`, { cause: error, retriable: true });
    }
    const faults = documentFaults(schema, body);
    if (faults.length > 0)
      throw new MeshError('mesh.bad_answer', `${url} answers something else: ${faults.join('; ')}`);
    return body as DocumentOf<S>;
  }
  return {
    get: async (url, schema) => ask(url, schema),
    put: async (url, schema, body) => ask(url, schema, { method: 'PUT', body: JSON.stringify(body) }),
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
