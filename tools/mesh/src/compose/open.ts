/** A Compose project as a mesh, for the same questions and verdicts as a local mesh. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { MeshConfig } from '../config.ts';
import { meshError } from '../errors.ts';
import { layoutOf } from '../mesh/files/layout.ts';
import { createMeshHttp } from '../mesh/http.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { readComposeConfig, type ComposeConfig } from './config.ts';
import { createEngineApi, type EngineApi } from './engine-api.ts';
import { composeHost } from './host.ts';
import { runOf, serviceOf } from './records.ts';
import { secretsService } from './topology.ts';

const refreshIntervalMs = 250;
/** The secrets that the tools need. A user of the engine could read all of them. */
const neededSecrets = ['secret', 'database.url', 'processor.secret'] as const;

/**
 * Opens a project. The answers of `run()` are at most a moment old.
 * @param name name of the project; `main`, the default of every command, stands for the project of
 *   docker-compose.yml
 * @throws MeshError `compose.no_engine`, `mesh.unknown` if the project has no containers
 */
export async function openComposeMesh(
  meshConfig: MeshConfig,
  name: string,
  config: ComposeConfig = readComposeConfig(),
): Promise<Mesh> {
  const project = name === 'main' ? config.project : name;
  const layout = layoutOf(meshConfig.home, `compose-${project}`);
  mkdirSync(layout.folder, { recursive: true, mode: 0o700 });
  const engine = await reachable(config);
  const host = composeHost(project, layout, engine);
  await host.refresh();
  const secrets = await secretsOf(config, project, engine, host.containers() ?? []);
  keep(layout.secretFile, secrets.secret);
  keep(layout.processorSecretFile, secrets.processorSecret);
  if (config.keysDir !== undefined) layout.apiKeysFile = path.join(config.keysDir, 'api-keys.ndjson');
  if (engine !== undefined) keepFresh(host.refresh);
  const view = () => ({
    project,
    containers: host.containers(),
    inside: config.inside,
    databaseUrl: secrets.databaseUrl,
  });
  return {
    name: project,
    config: meshConfig,
    layout,
    secret: secrets.secret,
    http: createMeshHttp(secrets.secret),
    host,
    run: () => runOf(view()),
  };
}

/** Inside a container the engine's socket may be missing. */
async function reachable({ dockerHost, inside }: ComposeConfig): Promise<EngineApi | undefined> {
  if (inside && dockerHost.startsWith('unix://') && !existsSync(dockerHost.slice('unix://'.length)))
    return undefined;
  return createEngineApi(dockerHost);
}

interface Secrets {
  secret: string;
  databaseUrl: string;
  /** Grants access to the card processor's own ledger, by which payments are judged. */
  processorSecret: string;
}

async function secretsOf(
  { secretsDir }: ComposeConfig,
  project: string,
  engine: EngineApi | undefined,
  containers: ReturnType<ReturnType<typeof composeHost>['containers']> & object,
): Promise<Secrets> {
  let files: Record<string, string>;
  if (secretsDir !== undefined)
    files = Object.fromEntries(
      neededSecrets.map((name) => [name, readFileSync(path.join(secretsDir, name), 'utf8')]),
    );
  else {
    const holder = containers.find((container) => serviceOf(container) === secretsService);
    if (engine === undefined || holder === undefined) {
      throw meshError(
        'mesh.unknown',
        `the engine has no containers of the project "${project}": "docker compose up" creates them`,
      );
    }
    files = await engine.files(holder.Id, '/run/secrets');
  }
  const [secret = '', databaseUrl = '', processorSecret = ''] = neededSecrets.map((name) =>
    (files[name] ?? '').trim(),
  );
  if (secret === '' || databaseUrl === '' || processorSecret === '')
    throw meshError('mesh.unknown', `the project "${project}" has no secrets yet: is it still starting?`);
  return { secret, databaseUrl, processorSecret };
}

/** Writes a secret for readers of files: the load generator, and the verdict on payments. */
function keep(file: string, secret: string): void {
  writeFileSync(file, `${secret}\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
}

/**
 * Refreshes again and again, without keeping the process alive. A failed refresh keeps the last
 * answer until the next one.
 */
function keepFresh(refresh: () => Promise<void>): void {
  const loop = async () => {
    await refresh().catch(() => undefined);
    setTimeout(() => void loop(), refreshIntervalMs).unref();
  };
  setTimeout(() => void loop(), refreshIntervalMs).unref();
}
