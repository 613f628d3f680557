/**
 * The settings of the tool's parts that run beside or inside containers; only this file reads their
 * environment.
 */
import path from 'node:path';
import { readConfig } from '@thermomesh/runtime';
import Type from 'typebox';
import { projectDefault } from './topology.ts';

const SecretsSettings = Type.Object({
  SECRETS_DIR: Type.String({
    default: '/run/secrets',
    description: 'Folder on which the volume of secrets is mounted.',
  }),
  KEYS_DIR: Type.String({
    default: '/run/keys',
    description: 'Folder on which the volume of API keys is mounted.',
  }),
});

/**
 * Reads the settings of the one-shot container that creates the secrets.
 * @throws MeshError `config.invalid`
 */
export function readSecretsConfig(env: NodeJS.ProcessEnv = process.env): {
  secretsDir: string;
  keysDir: string;
} {
  const { SECRETS_DIR, KEYS_DIR } = readConfig(SecretsSettings, env);
  return { secretsDir: path.resolve(SECRETS_DIR), keysDir: path.resolve(KEYS_DIR) };
}

const Settings = Type.Object({
  DOCKER_HOST: Type.String({
    default: process.platform === 'win32' ? 'npipe:////./pipe/docker_engine' : 'unix:///var/run/docker.sock',
    pattern: '^(unix|npipe|tcp)://.+',
    description: 'Address of the container engine.',
  }),
  COMPOSE_PROJECT_NAME: Type.String({
    default: projectDefault,
    description: 'Compose project of commands that do not name one.',
  }),
  COMPOSE_INSIDE: Type.Boolean({
    default: false,
    description:
      'Whether this process runs in a container of the mesh, where parts are reached by their names.',
  }),
  COMPOSE_SECRETS_DIR: Type.Optional(
    Type.String({ description: 'Folder with the secrets, where the volume is mounted.' }),
  ),
  COMPOSE_KEYS_DIR: Type.Optional(
    Type.String({ description: 'Folder with the API keys, where the volume is mounted.' }),
  ),
});

export interface ComposeConfig {
  dockerHost: string;
  project: string;
  inside: boolean;
  secretsDir: string | undefined;
  keysDir: string | undefined;
}

/**
 * Reads the settings of `--target compose`.
 * @throws MeshError `config.invalid`
 */
export function readComposeConfig(env: NodeJS.ProcessEnv = process.env): ComposeConfig {
  const { DOCKER_HOST, COMPOSE_PROJECT_NAME, COMPOSE_INSIDE, COMPOSE_SECRETS_DIR, COMPOSE_KEYS_DIR } =
    readConfig(Settings, env);
  return {
    dockerHost: DOCKER_HOST,
    project: COMPOSE_PROJECT_NAME,
    inside: COMPOSE_INSIDE,
    secretsDir: COMPOSE_SECRETS_DIR,
    keysDir: COMPOSE_KEYS_DIR,
  };
}
