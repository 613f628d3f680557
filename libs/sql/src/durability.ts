/** Which settings of PostgreSQL keep a commit through a crash and a power loss. */
import { UnsafeDatabaseError } from './errors.ts';

/** What a connection says of itself and its server. */
export interface ConnectionFacts {
  fsync: string;
  fullPageWrites: string;
  synchronousCommit: string;
  /** Where each of the three was set, as in `pg_settings.source`, by name. */
  sources: Readonly<Record<string, string>>;
  /** `synchronous_standby_names`; empty if the server waits for no standby. */
  standbys: string;
  role: string;
  database: string;
  /** Differs from session to session. */
  session: string;
}

/** A pid alone may come again; with the time of the start it names one session. */
const sessionExpression = `concat(pg_backend_pid(), '@',
  (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()))`;

/** The statement that reads the {@link ConnectionFacts} of the connection that runs it. */
export const factsText = `SELECT current_setting('fsync') AS fsync,
  current_setting('full_page_writes') AS "fullPageWrites",
  current_setting('synchronous_commit') AS "synchronousCommit",
  (SELECT json_object_agg(name, source) FROM pg_settings
    WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')) AS sources,
  current_setting('synchronous_standby_names') AS standbys,
  current_user::text AS role, current_database()::text AS database,
  ${sessionExpression} AS session`;

/** The statement that reads the session only. */
export const sessionText = `SELECT ${sessionExpression} AS session`;

/**
 * Says with which settings a commit could be lost, and what to change. Undefined if none of them
 * loses one.
 *
 * `synchronous_commit` decides when a commit is answered. `off`: before it is on disk. `local` and
 * `remote_write`: when it is on the disk of this server; the standby may not have it, or only in
 * memory. `on` and `remote_apply`: when it is also on the disk of a synchronous standby, if there
 * is one. So `local` and `remote_write` are safe on a single server only.
 */
export function durabilityIssue(facts: ConnectionFacts): string | undefined {
  const issues: string[] = [];
  if (facts.fsync === 'off')
    issues.push(`fsync is off, so a power loss damages the database: ${howToReset(facts, 'fsync')}`);
  if (facts.fullPageWrites === 'off')
    issues.push(
      `full_page_writes is off, so a power loss leaves torn pages: ${howToReset(facts, 'full_page_writes')}`,
    );
  const { synchronousCommit, standbys } = facts;
  if (synchronousCommit === 'off')
    issues.push(
      `synchronous_commit is off, so a crash loses answered commits: ${howToReset(facts, 'synchronous_commit')}`,
    );
  if (standbys !== '' && (synchronousCommit === 'local' || synchronousCommit === 'remote_write'))
    issues.push(
      `synchronous_commit is ${synchronousCommit}, so a failover to a synchronous standby loses answered commits: ${howToReset(facts, 'synchronous_commit')}`,
    );
  return issues.length === 0 ? undefined : issues.join('; ');
}

/** @throws UnsafeDatabaseError `sql.not_durable` */
export function assertDurable(facts: ConnectionFacts): void {
  const issue = durabilityIssue(facts);
  if (issue !== undefined) throw new UnsafeDatabaseError('sql.not_durable', issue);
}

/**
 * Throws if a pooler has answered: of two connections that are open at the same time each must stay
 * one session, and not the session of the other.
 * @param answers of each connection, the sessions of its transactions
 * @throws UnsafeDatabaseError `sql.not_a_session`
 */
export function assertSessions(answers: readonly (readonly string[])[]): void {
  const sessions = new Set(answers.flat());
  const stays = answers.every((own) => new Set(own).size === 1);
  if (stays && sessions.size === answers.length) return;
  throw new UnsafeDatabaseError(
    'sql.not_a_session',
    'a pooler gives the transactions of one connection to several sessions, so fences and time limits do not hold: set pool_mode = session in the pooler, or let DATABASE_URL name PostgreSQL itself',
  );
}

/** How to turn a setting on again, depending on where it was set. */
function howToReset({ sources, role, database }: ConnectionFacts, setting: string): string {
  const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
  switch (sources[setting]) {
    case 'user':
      return `run ALTER ROLE ${quoted(role)} RESET ${setting}`;
    case 'database':
      return `run ALTER DATABASE ${quoted(database)} RESET ${setting}`;
    case 'database user':
      return `run ALTER ROLE ${quoted(role)} IN DATABASE ${quoted(database)} RESET ${setting}`;
    case 'client':
      return `take ${setting} out of DATABASE_URL and PGOPTIONS`;
    case 'command line':
      return `take ${setting} out of the command line of the server`;
    default:
      return `run ALTER SYSTEM SET ${setting} = on, then SELECT pg_reload_conf()`;
  }
}
