/**
 * How the gateway calls analytics nodes for its callers. The gateway checks the caller's key, which
 * never leaves it, and calls a node with a token of its own that is good for one scope at analytics
 * nodes and for nothing else.
 */

/** The name under which analytics nodes announce themselves. */
export const analyticsServiceName = 'analytics';

/** The service name whose token the gateway sends for a route that needs `scope`. */
export function readingsCallerOf(scope: string): string {
  return `gateway-readings-${scope}`;
}
