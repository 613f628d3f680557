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
  /** Receives an error that kept the last use of a key from being recorded. */
  onUseUnrecorded: (error: unknown) => void;
}

/** The gateway checks its caller's key, and has a token of its own for each scope. */
export function createAccess(options: AccessOptions): Gatekeeper {
  const { secret, apiKeysFile, onDamagedKeys, onUseUnrecorded } = options;
  const keys = createGatekeeper(secret, apiKeysFile, onDamagedKeys, { onUseUnrecorded });
  const gateway = createCallerGatekeeper(
    secret,
    Object.fromEntries(apiScopes.map((scope) => [readingsCallerOf(scope), [scope]])),
  );
  return {
    scopesOf: (bearer) => gateway.scopesOf(bearer) ?? keys.scopesOf(bearer),
    refusalOf: (bearer) => keys.refusalOf?.(bearer),
  };
}
