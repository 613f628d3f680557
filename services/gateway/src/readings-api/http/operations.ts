/** The routes of the analytics nodes that the gateway serves, from the nodes' own document. */
import { analyticsDocument, type OpenApiOperation } from '@thermomesh/contracts/openapi';
import type { ApiScope } from '@thermomesh/runtime';

/** One method of one route. */
export interface ReadingsOperation {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** The path as OpenAPI writes it: `{deviceId}` for a parameter. */
  path: string;
  /** The scope that a caller's key must have. */
  scope: ApiScope;
  operation: OpenApiOperation;
}

/** Operations of a node that the gateway does not serve, and why. */
export const notServed: Readonly<Record<string, string>> = {
  'POST /v1/drain/accept-gap': 'only the coordinator can: an operator sends it to that node',
  'POST /v1/rejected/{id}/replay': 'only the coordinator can: "mesh rejected replay" sends it to that node',
};

/** Every public operation of the analytics nodes. */
export function readingsOperations(): ReadingsOperation[] {
  return Object.entries(analyticsDocument.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([name, operation]) => {
      const method = name.toUpperCase() as ReadingsOperation['method'];
      if (Object.hasOwn(notServed, `${method} ${path}`)) return [];
      return [{ method, path, scope: scopeOf(operation), operation }];
    }),
  );
}

/** The role that the operation's security names. */
function scopeOf(operation: OpenApiOperation): ApiScope {
  const scope = operation.security?.[0]?.['key']?.[0];
  if (scope === undefined) throw new TypeError('an operation of the analytics nodes names no scope');
  return scope as ApiScope;
}
