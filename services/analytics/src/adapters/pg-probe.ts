/**
 * Checks whether PostgreSQL answers, on a connection of its own: a probe that hangs must not delay
 * other queries.
 */
import { createDatabaseWatch, openSession, type SessionOptions, type SqlSession } from '@thermomesh/sql';

/** A probe of PostgreSQL. */
export interface SqlProbe {
  /**
   * Rejects if PostgreSQL does not answer within `timeoutMs`, or could lose what it commits. Waits
   * for the first look at the settings.
   */
  ask(timeoutMs: number): Promise<void>;
  close(): void;
}

/** The probe's connection. */
type ProbeState = { state: 'idle' } | { state: 'open'; session: SqlSession } | { state: 'closed' };

/** Time limit for a look at the settings of the database. */
const lookMs = 2_000;

/** Creates a probe; it connects with the first `ask`. */
export function createSqlProbe(
  options: Omit<SessionOptions, 'connectTimeoutMs' | 'statementTimeoutMs'>,
): SqlProbe {
  const watch = createDatabaseWatch({ ...options, connectTimeoutMs: lookMs, statementTimeoutMs: lookMs });
  let current: ProbeState = { state: 'idle' };

  /** Opens the connection if there is none; undefined if the probe was closed. */
  async function connected(timeoutMs: number): Promise<SqlSession | undefined> {
    switch (current.state) {
      case 'open':
        return current.session;
      case 'closed':
        return undefined;
      case 'idle':
        return keep(
          await openSession({ ...options, connectTimeoutMs: timeoutMs, statementTimeoutMs: timeoutMs }),
        );
    }
  }

  function keep(session: SqlSession): SqlSession | undefined {
    switch (current.state) {
      case 'idle':
      case 'open':
        current = { state: 'open', session };
        return session;
      case 'closed':
        session.close();
        return undefined;
    }
  }

  async function ask(timeoutMs: number): Promise<void> {
    const asked = await connected(timeoutMs);
    if (asked === undefined) return;
    // The caller's deadline may pass before the driver's. Then the answer is not needed any more.
    const timer = setTimeout(() => drop(asked), timeoutMs);
    try {
      await asked.query('SELECT 1');
      await watch.assertSafe();
    } catch (error) {
      drop(asked);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  function drop(which: SqlSession): void {
    which.close();
    if (current.state === 'open' && current.session === which) current = { state: 'idle' };
  }

  return {
    ask,
    close: () => {
      if (current.state === 'open') current.session.close();
      current = { state: 'closed' };
    },
  };
}
