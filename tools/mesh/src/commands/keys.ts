/** `mesh device-token` and `mesh api-key` */
import { existsSync, readFileSync } from 'node:fs';
import { isDeviceId } from '@thermomesh/contracts';
import {
  apiScopes,
  createApiKey,
  deriveToken,
  MeshError,
  revokeApiKey,
  subjects,
  type ApiKeyRecord,
  type ApiScope,
} from '@thermomesh/runtime';
import { InvalidArgumentError, type Command } from 'commander';
import type { MeshConfig } from '../config.ts';
import { layoutOf, type Layout } from '../state/layout.ts';
import { ensureSecret, readSecret } from '../state/secrets.ts';
import { table } from '../view/table.ts';
import { printJson, withName, withOutput, type NameOption, type OutputOptions } from './options.ts';

export function addDeviceToken(program: Command, config: () => MeshConfig): void {
  withName(program.command('device-token <device>'))
    .description('the MQTT password of a device: user name and client id are the device id')
    .addHelpText(
      'after',
      '\nExample:\n  mosquitto_pub -p 1883 -i room-1 -u room-1 -P "$(mesh device-token room-1)" -q 1 -t thermostat/data -m …',
    )
    .action((device: string, { name }: NameOption) => {
      if (!isDeviceId(device))
        throw new MeshError('usage', `"${device}" is no device id: 1 to 64 of A-Z a-z 0-9 _ . -`);
      console.log(deriveToken(secretOf(config(), name), subjects.device(device)));
    });
}

export function addApiKey(program: Command, config: () => MeshConfig): void {
  const keys = program.command('api-key').description('keys of people and programs for the HTTP routes');
  withOutput(keys.command('create'))
    .description('make a key; it is shown once, the mesh keeps its hash')
    .option('--scopes <list>', `what it allows, of ${apiScopes.join(', ')}`, parseScopes, [
      'read',
    ] as ApiScope[])
    .addHelpText('after', '\nExample:\n  mesh api-key create --scopes read,images')
    .action(async ({ name, json, scopes }: OutputOptions & { scopes: ApiScope[] }) => {
      const layout = keyLayoutOf(config(), name);
      if (config().opened === undefined) ensureSecret(layout);
      const created = await createApiKey(layout.apiKeysFile, scopes);
      if (json === true) printJson({ ...created, scopes });
      else console.log(created.key);
    });
  withOutput(keys.command('list'))
    .description('the keys that are valid')
    .action(({ name, json }: OutputOptions) => {
      const valid = validKeys(keyLayoutOf(config(), name).apiKeysFile);
      if (json === true) printJson({ keys: valid });
      else
        console.log(
          table(
            ['id', 'scopes', 'created'],
            valid.map((key) => [key.id, key.scopes.join(' '), key.createdAt]),
            process.stdout.isTTY,
          ),
        );
    });
  withName(keys.command('revoke <id>'))
    .description('end a key; services notice at its next use')
    .addHelpText('after', '\nExample:\n  mesh api-key revoke 0123456789ab')
    .action(async (id: string, { name }: NameOption) => {
      const { apiKeysFile } = keyLayoutOf(config(), name);
      if (!validKeys(apiKeysFile).some((key) => key.id === id))
        throw new MeshError('usage', `there is no valid key "${id}"`);
      await revokeApiKey(apiKeysFile, id);
      console.log(`key ${id} is revoked`);
    });
}

/** Where the keys are. Those of containers are in a volume, so they are made where that is mounted. */
function keyLayoutOf({ home, opened }: MeshConfig, name: string): Layout {
  if (opened === undefined) return layoutOf(home, name);
  if (!opened.layout.apiKeysFile.startsWith(opened.layout.folder)) return opened.layout;
  throw new MeshError(
    'usage',
    'keys of containers are made in one: docker compose run --rm tools api-key create',
  );
}

function secretOf({ home, opened }: MeshConfig, name: string): string {
  return opened?.secret ?? readSecret(layoutOf(home, name));
}

function parseScopes(text: string): ApiScope[] {
  return text.split(',').map((part) => {
    const scope = apiScopes.find((known) => known === part.trim());
    if (scope === undefined)
      throw new InvalidArgumentError(`"${part}" is no scope; known: ${apiScopes.join(', ')}.`);
    return scope;
  });
}

/** What may be shown of a key. */
type KeyView = Pick<ApiKeyRecord, 'id' | 'scopes' | 'createdAt'>;

function validKeys(file: string): KeyView[] {
  const keys = new Map<string, KeyView>();
  if (!existsSync(file)) return [];
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (line.trim() === '') continue;
    const { id, scopes, createdAt, revoked } = JSON.parse(line) as ApiKeyRecord;
    if (revoked === true) keys.delete(id);
    else keys.set(id, { id, scopes, createdAt });
  }
  return [...keys.values()];
}
