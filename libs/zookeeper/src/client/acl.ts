/** Access control lists: which client may do what to a node. */
import { createHash } from 'node:crypto';
import type { AclEntry, Permission } from './types.ts';

export const allPermissions: readonly Permission[] = ['read', 'write', 'create', 'delete', 'admin'];

/** Every client may do everything. A node gets this ACL unless its creator names another. */
export const openAcl: readonly AclEntry[] = [{ permissions: allPermissions, scheme: 'world', id: 'anyone' }];

/**
 * Every client may read. Only the holder of the secret may write, create children, delete them or
 * change the ACL.
 */
export function readableAcl(adminSecret: string): readonly AclEntry[] {
  return [
    { permissions: ['read'], scheme: 'world', id: 'anyone' },
    { permissions: allPermissions, scheme: 'digest', id: digestOf(adminSecret) },
  ];
}

/** Only the holder of the secret may do anything. */
export function privateAcl(secret: string): readonly AclEntry[] {
  return [{ permissions: allPermissions, scheme: 'digest', id: digestOf(secret) }];
}

/**
 * The id of scheme `digest` for `user:password`, as the server stores it. The server prescribes
 * SHA-1.
 */
export function digestOf(secret: string): string {
  const user = secret.slice(0, secret.indexOf(':'));
  return `${user}:${createHash('sha1').update(secret).digest('base64')}`;
}

const bits: Record<Permission, number> = { read: 1, write: 2, create: 4, delete: 8, admin: 16 };

export function permissionBits(permissions: readonly Permission[]): number {
  return permissions.reduce((sum, permission) => sum | bits[permission], 0);
}

export function permissionsOf(value: number): Permission[] {
  return allPermissions.filter((permission) => (value & bits[permission]) !== 0);
}
