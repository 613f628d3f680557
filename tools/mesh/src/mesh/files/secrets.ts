/** The secrets of a mesh and its first API key, created at the first start. */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createApiKey, nearestName } from '@thermomesh/runtime';
import { makeFolder, mendFolder } from '@thermomesh/servers';
import { meshError } from '../../errors.ts';
import type { Layout } from './layout.ts';

/** Others may enter, and open what they know the name of; they cannot list. */
const enterMode = 0o711;

/**
 * The secret from which tokens are derived. It is created at random once, and every later start
 * reads it.
 */
export function ensureSecret(layout: Layout): string {
  return ensureSecretFile(layout, layout.secretFile);
}

/**
 * Creates the secrets of billing, the card processor and the checkout. Billing cannot finish old
 * payments without its own secret.
 */
export function ensurePaymentSecrets(layout: Layout): void {
  for (const file of [layout.billingSecretFile, layout.processorSecretFile, layout.checkoutSecretFile])
    ensureSecretFile(layout, file);
}

/** Returns the secret in the file; creates it at random, with mode 0600, if it is missing. */
export function ensureSecretFile(layout: Layout, file: string): string {
  makeMeshFolder(layout);
  if (!existsSync(file)) {
    try {
      writeFileSync(file, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  return readFileSync(file, 'utf8').trim();
}

/**
 * Creates the folder of the mesh. The user that PostgreSQL runs as has to enter it, so a mode that
 * an earlier start left under another umask is mended; the secrets in it have modes of their own.
 */
function makeMeshFolder({ folder }: Layout): void {
  makeFolder(folder);
  mendFolder(folder, enterMode);
  const home = path.dirname(folder);
  // Any other folder, given by MESH_HOME, belongs to the user, who decides on its mode.
  if (path.basename(home) === '.mesh') mendFolder(home, enterMode);
}

/**
 * Checks that a mesh was started at least once.
 * @param hint a sentence about what the caller may have meant, such as "did you mean --label?"
 * @throws MeshError `mesh.unknown`, which lists the meshes that exist
 */
export function requireMesh(layout: Layout, hint = ''): void {
  if (existsSync(layout.secretFile)) return;
  const name = path.basename(layout.folder);
  const home = path.dirname(layout.folder);
  const names = meshNames(home);
  const near = nearestName(name, names);
  const known =
    names.length === 0
      ? `${home} has no mesh yet: "mesh up" creates one`
      : `${home} has ${names.map((each) => `"${each}"`).join(', ')}`;
  const meant = hint !== '' ? `; ${hint}` : near === undefined ? '' : `; did you mean --name ${near}?`;
  throw meshError('mesh.unknown', `there is no mesh "${name}": ${known}${meant}`);
}

/** The names of the meshes below `home` that were started at least once. */
function meshNames(home: string): string[] {
  if (!existsSync(home)) return [];
  return readdirSync(home).filter((name) => existsSync(path.join(home, name, 'secret')));
}

/**
 * The secret of a mesh that was started at least once.
 * @throws MeshError `mesh.unknown`
 */
export function readSecret(layout: Layout): string {
  requireMesh(layout);
  return readFileSync(layout.secretFile, 'utf8').trim();
}

/**
 * Creates and returns the first API key; undefined if a key exists, because keys are shown once.
 */
export async function ensureFirstApiKey(layout: Layout): Promise<string | undefined> {
  if (existsSync(layout.apiKeysFile)) return undefined;
  return (await createApiKey(layout.apiKeysFile, ['read', 'checkout', 'images'])).key;
}
