/** `mesh device-token` and `mesh api-key` */
import { mayNameDevice } from '@thermomesh/contracts';
import {
  apiKeyState,
  apiScopes,
  createApiKey,
  deriveToken,
  readApiKeys,
  readKeyUses,
  revokeApiKey,
  rotateApiKey,
  subjects,
  type ApiKey,
  type ApiKeyState,
  type ApiScope,
} from '@thermomesh/runtime';
import { InvalidArgumentError, type Command } from 'commander';
import { meshError } from '../errors.ts';
import { layoutOf, type Layout } from '../mesh/files/layout.ts';
import { readSecret, requireMesh } from '../mesh/files/secrets.ts';
import type { MeshContext } from '../mesh/mesh.ts';
import { parseDuration, parseGrace } from './duration-option.ts';
import {
  checkDeviceId,
  printJson,
  say,
  withName,
  withOutput,
  type NameOption,
  type OutputOptions,
} from './options.ts';
import { show, table } from './view/table.ts';

/** How long the old secret of a rotated key stays valid: a day. */
const graceMsDefault = 86_400_000;

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
  const keys = program.command('api-key').description('create, list, rotate and revoke keys for HTTP');
  addCreate(keys, context);
  addList(keys, context);
  addRotate(keys, context);
  withName(keys.command('revoke <id>'))
    .description('revoke a key; services refuse it from its next use on')
    .addHelpText('after', '\nExample:\n  mesh api-key revoke 0123456789ab')
    .action(async (id: string, { name }: NameOption) => {
      await revokeApiKey(keyLayoutOf(context(), name).apiKeysFile, id);
      console.log(`key ${id} is revoked`);
    });
}

interface CreateFlags extends OutputOptions {
  scopes: ApiScope[];
  label?: string;
  expiresIn?: number;
}

function addCreate(keys: Command, context: () => MeshContext): void {
  withOutput(keys.command('create'))
    .description('create a key; it is shown once, as the mesh keeps only its hash')
    .option('--scopes <list>', `what the key allows: ${apiScopes.join(', ')}`, parseScopes, [
      'read',
    ] as ApiScope[])
    .option('--label <text>', 'what the key is for, 1 to 64 characters', parseLabel)
    .option('--expires-in <time>', 'how long the key is valid, such as 12h or 90d', parseDuration)
    .addHelpText('after', '\nExample:\n  mesh api-key create --label grafana --scopes read --expires-in 90d')
    .action(async ({ name, json, scopes, label, expiresIn }: CreateFlags) => {
      const hint = `a label of the key is --label ${name}`;
      const layout = keyLayoutOf(context(), name, hint);
      const created = await createApiKey(layout.apiKeysFile, scopes, {
        ...(label === undefined ? {} : { label }),
        ...(expiresIn === undefined ? {} : { expiresInMs: expiresIn }),
      });
      if (json === true) printJson({ ...created, scopes, label: label ?? null });
      else console.log(created.key);
    });
}

function addList(keys: Command, context: () => MeshContext): void {
  withOutput(keys.command('list'))
    .description('list the valid keys')
    .option('--all', 'also list keys that are revoked or have expired')
    .addHelpText('after', '\nThe last use is exact to a minute.')
    .action(({ name, json, all }: OutputOptions & { all?: boolean }) => {
      const listed = keyViews(keyLayoutOf(context(), name).apiKeysFile).filter(
        ({ state }) => all === true || state === 'valid',
      );
      if (json === true) return printJson({ keys: listed });
      console.log(
        table(
          ['id', 'label', 'scopes', 'created', 'expires', 'last use', 'state'],
          listed.map((key) => [
            key.id,
            show(key.label),
            key.scopes.join(' '),
            key.createdAt,
            show(key.expiresAt),
            show(key.lastUsedAt),
            key.state,
          ]),
          process.stdout.isTTY,
        ),
      );
    });
}

interface RotateFlags extends OutputOptions {
  grace: number;
  expiresIn?: number;
}

function addRotate(keys: Command, context: () => MeshContext): void {
  withOutput(keys.command('rotate <id>'))
    .description('give a key a new secret; the old one stays valid for a while')
    .option(
      '--grace <time>',
      'how long the old secret stays valid; 0 ends it now',
      parseGrace,
      graceMsDefault,
    )
    .option('--expires-in <time>', 'a new expiry, counted from now', parseDuration)
    .addHelpText(
      'after',
      `
The grace time is one day by default. The key keeps its id, scopes, label, orders and images.

Example:
  mesh api-key rotate 0123456789ab --grace 1h`,
    )
    .action(async (id: string, { name, json, grace, expiresIn }: RotateFlags) => {
      const rotated = await rotateApiKey(keyLayoutOf(context(), name).apiKeysFile, id, {
        graceMs: grace,
        ...(expiresIn === undefined ? {} : { expiresInMs: expiresIn }),
      });
      if (json === true) return printJson(rotated);
      say(`the old secret is valid until ${rotated.previousValidUntil}`);
      console.log(rotated.key);
    });
}

/**
 * The layout of the key file. The keys of containers are in a volume, so they can be created only
 * where that volume is mounted.
 */
function keyLayoutOf({ config, containers }: MeshContext, name: string, hint = ''): Layout {
  if (containers === undefined) {
    const layout = layoutOf(config.home, name);
    requireMesh(layout, hint);
    return layout;
  }
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

/** A label stays on one line of a table. @throws InvalidArgumentError */
function parseLabel(text: string): string {
  if (/^[^\p{Cc}]{1,64}$/u.test(text)) return text;
  throw new InvalidArgumentError('must have 1 to 64 characters, without control characters.');
}

/** The parts of a key that may be shown. Times are RFC 3339. */
interface KeyView extends Pick<ApiKey, 'id' | 'scopes' | 'createdAt'> {
  label: string | null;
  expiresAt: string | null;
  rotatedAt: string | null;
  revokedAt: string | null;
  /** Exact to a minute; null if the key was never used, or the services cannot record it. */
  lastUsedAt: string | null;
  state: ApiKeyState;
}

function keyViews(file: string): KeyView[] {
  const { keys, damaged } = readApiKeys(file);
  if (damaged > 0) say(`${file}: damaged lines are left out: ${damaged}`);
  const uses = readKeyUses(file);
  return keys.map((key) => {
    const usedAtMs = uses.get(key.id);
    return {
      id: key.id,
      label: key.label ?? null,
      scopes: key.scopes,
      createdAt: key.createdAt,
      expiresAt: key.expiresAt ?? null,
      rotatedAt: key.rotatedAt ?? null,
      revokedAt: key.revokedAt ?? null,
      lastUsedAt: usedAtMs === undefined ? null : new Date(usedAtMs).toISOString(),
      state: apiKeyState(key, Date.now()),
    };
  });
}
