/** Sends fuzz requests, several at a time, and reports the answers. */
import { Agent, request } from 'node:http';
import type { FuzzRequest } from './requests.ts';

export interface FuzzAnswer {
  request: FuzzRequest;
  /** 0 if the connection ended without an answer. */
  status: number;
  /** The first bytes of the body. */
  text: string;
}

const answerTimeoutMs = 20_000;
const textBytesMax = 2_000;

/**
 * Sends all requests to one service, `parallel` at a time; streams of events are left after their
 * head.
 */
export async function sendAll(
  url: string,
  requests: readonly FuzzRequest[],
  { parallel = 16 } = {},
): Promise<FuzzAnswer[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: parallel });
  const { hostname: host, port } = new URL(url);
  const answers: FuzzAnswer[] = [];
  let next = 0;
  const work = async () => {
    for (let each = requests[next++]; each !== undefined; each = requests[next++])
      answers.push(await sendOne(agent, { host, port: Number(port) }, each));
  };
  try {
    await Promise.all(Array.from({ length: parallel }, work));
  } finally {
    agent.destroy();
  }
  return answers;
}

async function sendOne(
  agent: Agent,
  place: { host: string; port: number },
  fuzz: FuzzRequest,
): Promise<FuzzAnswer> {
  const { promise, resolve } = Promise.withResolvers<FuzzAnswer>();
  const done = (status: number, text: string) => resolve({ request: fuzz, status, text });
  const { method, target: path, headers, body } = fuzz;
  const length = body === undefined ? {} : { 'content-length': String(body.length) };
  const sent = request({
    ...place,
    agent,
    method,
    path,
    headers: { ...headers, ...length },
    timeout: answerTimeoutMs,
  });
  sent.on('timeout', () => sent.destroy(new Error(`no answer within ${answerTimeoutMs} ms`)));
  sent.on('error', (error) => done(0, error.message));
  sent.on('response', (response) => {
    const status = response.statusCode ?? 0;
    if (String(response.headers['content-type']).startsWith('text/event-stream')) {
      done(status, '');
      sent.destroy();
      return;
    }
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', () => done(status, ''));
    response.on('end', () => done(status, Buffer.concat(chunks).subarray(0, textBytesMax).toString()));
  });
  sent.end(body);
  return promise;
}
