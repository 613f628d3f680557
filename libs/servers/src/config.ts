/** The one setting of the test helpers; the only reader of the environment here. */

/** A server that somebody else runs; undefined if tests start their own. */
export function configuredDatabaseUrl(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const url = env['DATABASE_URL'];
  return url === undefined || url === '' ? undefined : url;
}
