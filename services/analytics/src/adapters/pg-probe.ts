/** Whether PostgreSQL answers, asked on a connection of its own: a probe that hangs must not hold up anybody else's queries. */
import { openSession, type SessionOptions, type SqlSession } from '@thermomesh/sql';

export interface SqlProbe {
  /** Rejects if PostgreSQL does not answer within `timeoutMs`. */
  ask(timeoutMs: number): Promise<void>;
  close(): void;
}

export function createSqlProbe(
  options: Omit<SessionOptions, 'connectTimeoutMs' | 'statementTimeoutMs'>,
): SqlProbe {
  let session: SqlSession | undefined;
  let closed = false;

  async function ask(timeoutMs: number): Promise<void> {
    let current = session;
    if (current === undefined) {
      current = await openSession({ ...options, connectTimeoutMs: timeoutMs, statementTimeoutMs: timeoutMs });
      if (closed) return current.close();
      session = current;
    }
    const asked = current;
    // The deadline of the caller may be over before the driver's: then nobody waits for this answer any more.
    const timer = setTimeout(() => drop(asked), timeoutMs);
    try {
      await asked.query('SELECT 1');
    } catch (error) {
      drop(asked);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  function drop(which: SqlSession): void {
    which.close();
    if (session === which) session = undefined;
  }

  return {
    ask,
    close: () => {
      closed = true;
      session?.close();
    },
  };
}
