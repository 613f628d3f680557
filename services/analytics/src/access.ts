/** Who may call a node: owners of API keys, the mesh's own tools, and the gateway. */
import { readingsCallerOf } from '@thermomesh/contracts';
import { apiScopes, createCallerGatekeeper, createGatekeeper, type Gatekeeper } from '@thermomesh/runtime';

export interface AccessOptions {
  /** The secret of the mesh, from which the tokens of the gateway are derived. */
  secret: string;
  /** File with the hashes of API keys. */
  apiKeysFile: string | undefined;
  /** Receives the number of unreadable lines of that file. */
  onDamagedKeys: (lines: number) => void;
}

/** The gateway checks its caller's key, and has a token of its own for each scope. */
export function createAccess({ secret, apiKeysFile, onDamagedKeys }: AccessOptions): Gatekeeper {
  const keys = createGatekeeper(secret, apiKeysFile, onDamagedKeys);
  const gateway = createCallerGatekeeper(
    secret,
    Object.fromEntries(apiScopes.map((scope) => [readingsCallerOf(scope), [scope]])),
  );
  return { scopesOf: (bearer) => gateway.scopesOf(bearer) ?? keys.scopesOf(bearer) };
}
