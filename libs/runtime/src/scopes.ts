/** The permissions that an API key can have. Each route names the one that it needs. */
export const apiScopes = ['read', 'checkout', 'images', 'command', 'admin'] as const;
export type ApiScope = (typeof apiScopes)[number];
