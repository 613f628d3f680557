/** The part of the container engine's HTTP API that the mesh needs (Docker Engine API 1.41 and later). */
import http from 'node:http';
import { MeshError, messageOf } from '@thermomesh/runtime';
import { framesOf, filesOfTar } from './formats.ts';

/** A container as the engine describes it; only what is read here. */
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
  /** Every container of a Compose project, stopped ones too; none that was run by hand. */
  containers(project: string): Promise<Container[]>;
  /** Undefined if it is gone. */
  inspect(id: string): Promise<Container | undefined>;
  /** @returns false if it does not run */
  kill(id: string, signal: string): Promise<boolean>;
  /** An orderly end; kill -9 after the time. */
  stop(id: string, graceSeconds: number): Promise<void>;
  start(id: string): Promise<void>;
  pause(id: string): Promise<void>;
  unpause(id: string): Promise<void>;
  disconnect(network: string, id: string): Promise<void>;
  connect(network: string, id: string, aliases: readonly string[]): Promise<void>;
  /** What it has written. @param sinceSeconds Unix time */
  logs(id: string, sinceSeconds: number): Promise<string>;
  /** Files below a folder of it, by their names, also if it has ended. */
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

/** One request to the engine; statuses from 300 up are errors unless allowed. */
type Call = (method: string, path: string, allowed?: readonly number[], body?: unknown) => Promise<Answer>;

/** @param dockerHost as in DOCKER_HOST: `unix://…`, `npipe://…` or `tcp://host:port` */
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
          ? 'this user may not speak to it (a container needs DOCKER_GROUP)'
          : 'is Docker running? DOCKER_HOST names an engine elsewhere';
      throw new MeshError(
        'compose.no_engine',
        `no answer from the container engine at ${dockerHost} (${code}): ${how}`,
        {
          cause: error,
          retriable: true,
        },
      );
    });
    if (answer.status >= 300 && !allowed.includes(answer.status)) {
      const said = answer.body.toString().trim().slice(0, 500);
      throw new MeshError('compose.engine_refused', `${method} ${path}: ${answer.status} ${said}`);
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
  // The host header must not hold the path.
  return { socketPath: dockerHost.replace(/^(unix|npipe):\/\//, ''), host: 'localhost' };
}
