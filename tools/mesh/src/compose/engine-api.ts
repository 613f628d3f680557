/**
 * The part of the container engine's HTTP API that the mesh needs (Docker Engine API 1.41 and
 * later).
 */
import http from 'node:http';
import { messageOf } from '@thermomesh/runtime';
import { meshError } from '../errors.ts';
import { framesOf, filesOfTar } from './formats.ts';

/** The fields of a container that the mesh reads. */
export interface Container {
  Id: string;
  Created: string;
  RestartCount: number;
  State: {
    Running: boolean;
    Paused: boolean;
    Pid: number;
    StartedAt: string;
    Health?: { Status: string } | null;
  };
  Config: { Labels: Record<string, string> };
  HostConfig: { PortBindings: Record<string, { HostPort: string }[] | null> | null };
  NetworkSettings: {
    Ports: Record<string, { HostPort: string }[] | null> | null;
    Networks: Record<string, { NetworkID: string; Aliases: string[] | null }>;
  };
}

export interface EngineApi {
  /**
   * Lists every container of a Compose project, including stopped ones, but none of `docker compose
   * run`.
   */
  containers(project: string): Promise<Container[]>;
  /** Resolves with undefined if the container does not exist any more. */
  inspect(id: string): Promise<Container | undefined>;
  /**
   * Sends a signal.
   * @returns false if the container does not run
   */
  kill(id: string, signal: string): Promise<boolean>;
  /** Stops the container gracefully, or with SIGKILL after the grace period. */
  stop(id: string, graceSeconds: number): Promise<void>;
  start(id: string): Promise<void>;
  pause(id: string): Promise<void>;
  unpause(id: string): Promise<void>;
  disconnect(network: string, id: string): Promise<void>;
  connect(network: string, id: string, aliases: readonly string[]): Promise<void>;
  /**
   * The container's output.
   * @param sinceSeconds Unix time
   */
  logs(id: string, sinceSeconds: number): Promise<string>;
  /** Contents of the files below one of its folders, by name; works for an ended container too. */
  files(id: string, folder: string): Promise<Record<string, string>>;
}

const answerTimeoutMs = 30_000;
const notFound = 404;
const notRunning = 409;
const notModified = 304;

interface Answer {
  status: number;
  body: Buffer;
}

/** Sends one request to the engine; a status from 300 on is an error unless it is allowed. */
type Call = (method: string, path: string, allowed?: readonly number[], body?: unknown) => Promise<Answer>;

/**
 * Creates a client of the engine.
 * @param dockerHost as in DOCKER_HOST: `unix://…`, `npipe://…` or `tcp://host:port`
 */
export function createEngineApi(dockerHost: string): EngineApi {
  const call = callerOf(dockerHost);
  const json = <T>({ body }: Answer): T => JSON.parse(body.toString()) as T;
  const api: EngineApi = {
    async containers(project) {
      const labels = [`com.docker.compose.project=${project}`, 'com.docker.compose.oneoff=False'];
      const filters = encodeURIComponent(JSON.stringify({ label: labels }));
      const listed = json<{ Id: string }[]>(
        await call('GET', `/containers/json?all=true&filters=${filters}`),
      );
      const found = await Promise.all(listed.map(async ({ Id }) => api.inspect(Id)));
      return found.filter((container) => container !== undefined);
    },
    async inspect(id) {
      const answer = await call('GET', `/containers/${id}/json`, [notFound]);
      return answer.status === notFound ? undefined : json<Container>(answer);
    },
    async kill(id, signal) {
      const answer = await call('POST', `/containers/${id}/kill?signal=${signal}`, [notFound, notRunning]);
      return answer.status < 300;
    },
    async stop(id, graceSeconds) {
      await call('POST', `/containers/${id}/stop?t=${graceSeconds}`, [notModified]);
    },
    async start(id) {
      await call('POST', `/containers/${id}/start`, [notModified]);
    },
    async pause(id) {
      await call('POST', `/containers/${id}/pause`);
    },
    async unpause(id) {
      await call('POST', `/containers/${id}/unpause`, [notRunning]);
    },
    async disconnect(network, id) {
      await call('POST', `/networks/${network}/disconnect`, [], { Container: id, Force: true });
    },
    async connect(network, id, aliases) {
      const body = { Container: id, EndpointConfig: { Aliases: aliases } };
      await call('POST', `/networks/${network}/connect`, [], body);
    },
    async logs(id, sinceSeconds) {
      const query = `stdout=true&stderr=true&since=${Math.floor(sinceSeconds)}`;
      return framesOf((await call('GET', `/containers/${id}/logs?${query}`)).body);
    },
    async files(id, folder) {
      const { body } = await call('GET', `/containers/${id}/archive?path=${encodeURIComponent(folder)}`);
      return filesOfTar(body);
    },
  };
  return api;
}

function callerOf(dockerHost: string): Call {
  const place = placeOf(dockerHost);
  return async (method, path, allowed = [], body = undefined) => {
    const answer = await ask({ ...place, method, path }, body).catch((error: unknown) => {
      const code = (error as NodeJS.ErrnoException).code ?? messageOf(error);
      const how =
        code === 'EACCES'
          ? 'this user has no permission to use it (a container needs DOCKER_GROUP)'
          : 'is Docker running? DOCKER_HOST can name an engine elsewhere';
      throw meshError(
        'compose.no_engine',
        `no answer from the container engine at ${dockerHost} (${code}): ${how}`,
        { cause: error },
      );
    });
    if (answer.status >= 300 && !allowed.includes(answer.status)) {
      const said = answer.body.toString().trim().slice(0, 500);
      throw meshError('compose.engine_refused', `${method} ${path}: ${answer.status} ${said}`);
    }
    return answer;
  };
}

async function ask(options: http.RequestOptions, body: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const request = http.request(
      { ...options, agent: false, timeout: answerTimeoutMs, headers },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.once('error', reject);
        response.once('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }),
        );
      },
    );
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.once('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function placeOf(dockerHost: string): http.RequestOptions {
  const url = new URL(dockerHost);
  if (url.protocol === 'tcp:') return { host: url.hostname, port: Number(url.port || 2375) };
  // The host header must not contain the path of the socket.
  return { socketPath: dockerHost.replace(/^(unix|npipe):\/\//, ''), host: 'localhost' };
}
