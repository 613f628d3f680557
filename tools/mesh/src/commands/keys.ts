/** `mesh device-token` and `mesh api-key` */
import { mayNameDevice } from '@thermomesh/contracts';
import {
  apiScopes,
  createApiKey,
  deriveToken,
  readApiKeys,
  revokeApiKey,
  subjects,
  type ApiKeyRecord,
  type ApiScope,
} from '@thermomesh/runtime';
import { InvalidArgumentError, type Command } from 'commander';
import { meshError } from '../errors.ts';
import { layoutOf, type Layout } from '../mesh/files/layout.ts';
import { ensureSecret, readSecret } from '../mesh/files/secrets.ts';
import type { MeshContext } from '../mesh/mesh.ts';
import {
  checkDeviceId,
  printJson,
  say,
  withName,
  withOutput,
  type NameOption,
  type OutputOptions,
} from './options.ts';
import { table } from './view/table.ts';

export function addDeviceToken(program: Command, context: () => MeshContext): void {
  withName(program.command('device-token <device>'))
    .description('print the MQTT password of a device; its user name and client id are the device id')
    .addHelpText(
      'after',
      '\nExample:\n  mosquitto_pub -p 1883 -i room-1 -u room-1 -P "$(mesh device-token room-1)" \\\n    -q 1 -t thermostat/data -m …',
    )
    .action((device: string, { name }: NameOption) => {
      checkDeviceId(device, mayNameDevice);
      console.log(deriveToken(secretOf(context(), name), subjects.device(device)));
    });
}

export function addApiKey(program: Command, context: () => MeshContext): void {
  const keys = program.command('api-key').description('create, list and revoke keys for the HTTP routes');
  withOutput(keys.command('create'))
    .description('create a key; it is shown once, as the mesh keeps only its hash')
    .option('--scopes <list>', `what the key allows: ${apiScopes.join(', ')}`, parseScopes, [
      'read',
    ] as ApiScope[])
    .addHelpText('after', '\nExample:\n  mesh api-key create --scopes read,images')
    .action(async ({ name, json, scopes }: OutputOptions & { scopes: ApiScope[] }) => {
      const layout = keyLayoutOf(context(), name);
      if (context().containers === undefined) ensureSecret(layout);
      const created = await createApiKey(layout.apiKeysFile, scopes);
      if (json === true) printJson({ ...created, scopes });
      else console.log(created.key);
    });
  withOutput(keys.command('list'))
    .description('list the valid keys')
    .action(({ name, json }: OutputOptions) => {
      const valid = validKeys(keyLayoutOf(context(), name).apiKeysFile);
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
    .description('revoke a key; services refuse it from its next use on')
    .addHelpText('after', '\nExample:\n  mesh api-key revoke 0123456789ab')
    .action(async (id: string, { name }: NameOption) => {
      const { apiKeysFile } = keyLayoutOf(context(), name);
      if (!validKeys(apiKeysFile).some((key) => key.id === id))
        throw meshError('usage', `there is no valid key "${id}"`);
      await revokeApiKey(apiKeysFile, id);
      console.log(`key ${id} is revoked`);
    });
}

/**
 * The layout of the key file. The keys of containers are in a volume, so they can be created only
 * where that volume is mounted.
 */
function keyLayoutOf({ config, containers }: MeshContext, name: string): Layout {
  if (containers === undefined) return layoutOf(config.home, name);
  if (!containers.layout.apiKeysFile.startsWith(containers.layout.folder)) return containers.layout;
  throw meshError(
    'usage',
    'create keys of containers in a container: docker compose run --rm tools api-key create',
  );
}

function secretOf({ config, containers }: MeshContext, name: string): string {
  return containers?.secret ?? readSecret(layoutOf(config.home, name));
}

function parseScopes(text: string): ApiScope[] {
  return text.split(',').map((part) => {
    const scope = apiScopes.find((known) => known === part.trim());
    if (scope === undefined)
      throw new InvalidArgumentError(`"${part}" is not a scope; known scopes: ${apiScopes.join(', ')}.`);
    return scope;
  });
}

/** The parts of a key that may be shown. */
type KeyView = Pick<ApiKeyRecord, 'id' | 'scopes' | 'createdAt'>;

function validKeys(file: string): KeyView[] {
  const { keys, damaged } = readApiKeys(file);
  if (damaged > 0) say(`${file}: damaged lines are left out: ${damaged}`);
  return keys.map(({ id, scopes, createdAt }) => ({ id, scopes, createdAt }));
}
