/** The secrets of a mesh and its first API key: made at the first start. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createApiKey, MeshError } from '@thermomesh/runtime';
import type { Layout } from './layout.ts';

/** The secret that tokens are derived from; made at random if there is none. Every start reads the same one. */
export function ensureSecret(layout: Layout): string {
  return ensureSecretFile(layout, layout.secretFile);
}

/** Those of payments: billing's, the card processor's and the checkout's. Billing cannot finish old payments without its own. */
export function ensurePaymentSecrets(layout: Layout): void {
  for (const file of [layout.billingSecretFile, layout.processorSecretFile, layout.checkoutSecretFile])
    ensureSecretFile(layout, file);
}

/** One secret in a file of mode 0600, made at random if there is none. */
export function ensureSecretFile(layout: Layout, file: string): string {
  mkdirSync(layout.folder, { recursive: true });
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
 * The secret of a mesh that was started at least once.
 * @throws MeshError `mesh.unknown`
 */
export function readSecret(layout: Layout): string {
  if (!existsSync(layout.secretFile)) {
    throw new MeshError('mesh.unknown', `there is no mesh in ${layout.folder}: "mesh up" makes one`);
  }
  return readFileSync(layout.secretFile, 'utf8').trim();
}

/** The first API key, or undefined if keys were made before: a key is shown once. */
export async function ensureFirstApiKey(layout: Layout): Promise<string | undefined> {
  if (existsSync(layout.apiKeysFile)) return undefined;
  return (await createApiKey(layout.apiKeysFile, ['read', 'checkout', 'images'])).key;
}
