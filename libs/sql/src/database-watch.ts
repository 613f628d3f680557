/** Looks again and again whether a database keeps what it commits. */
import { MeshError } from '@thermomesh/runtime';
import pg from 'pg';
import { factsOf, sessionOf } from './connection.ts';
import { assertDurable, assertSessions } from './durability.ts';
import { classifySqlError, UnsafeDatabaseError } from './errors.ts';

export interface DatabaseWatchOptions {
  url: string;
  /** Shown in pg_stat_activity. */
  applicationName: string;
  connectTimeoutMs: number;
  statementTimeoutMs: number;
  /** A result is used for this time; afterwards the next call looks again. Default 15 s. */
  intervalMs?: number;
}

/** A watch; it connects at the first call. */
export interface DatabaseWatch {
  /**
   * Resolves if the database keeps what it commits. The first call waits for a look, and calls wait
   * again while the database is unsafe. Otherwise an old result is used while a look is under way.
   * @throws UnsafeDatabaseError; the error of the first look, if it gets no answer
   */
  assertSafe(): Promise<void>;
}

/** What the watch knows. */
type State =
  | { name: 'unknown' }
  | { name: 'safe'; nextLookAtMs: number }
  | { name: 'unsafe'; nextLookAtMs: number; error: UnsafeDatabaseError };

const intervalDefaultMs = 15_000;
/** Pause after a look that failed, or that found the database unsafe. */
const againMs = 1_000;
/** How many rounds of questions each connection gets: in each it is asked twice in a row. */
const rounds = 2;

/** Makes a watch. */
export function createDatabaseWatch(options: DatabaseWatchOptions): DatabaseWatch {
  const intervalMs = options.intervalMs ?? intervalDefaultMs;
  let state: State = { name: 'unknown' };
  let looking: Promise<void> | undefined;

  async function look(): Promise<void> {
    try {
      await inspect(options);
      state = { name: 'safe', nextLookAtMs: performance.now() + intervalMs };
    } catch (error) {
      const nextLookAtMs = performance.now() + Math.min(intervalMs, againMs);
      if (error instanceof UnsafeDatabaseError) state = { name: 'unsafe', nextLookAtMs, error };
      else if (state.name !== 'unknown') state = { ...state, nextLookAtMs };
      throw error;
    } finally {
      looking = undefined;
    }
  }

  return {
    async assertSafe() {
      switch (state.name) {
        case 'unknown':
          return (looking ??= look());
        case 'unsafe':
          if (performance.now() < state.nextLookAtMs) throw state.error;
          return (looking ??= look());
        case 'safe':
          if (performance.now() < state.nextLookAtMs) return;
          // An outage is not the business of this watch; the statement itself meets it.
          (looking ??= look()).catch(() => undefined);
          return;
      }
    },
  };
}

/**
 * Opens two connections at the same time, as the writes will do, and asks each of them for its
 * settings and in turn for its session. New connections also show what was changed for the role or
 * the database.
 * @throws UnsafeDatabaseError; SqlUnavailableError
 */
async function inspect(options: DatabaseWatchOptions): Promise<void> {
  const clients = [open(options), open(options)];
  try {
    await Promise.all(clients.map(async (client) => client.connect()));
    const facts = await Promise.all(clients.map(factsOf));
    for (const each of facts) assertDurable(each);
    const answers = facts.map(({ session }) => [session]);
    for (let round = 0; round < rounds; round++)
      for (const [index, client] of clients.entries())
        answers[index]?.push(await sessionOf(client), await sessionOf(client));
    assertSessions(answers);
  } catch (error) {
    throw error instanceof MeshError ? error : classifySqlError(error);
  } finally {
    for (const client of clients) client.end().catch(() => undefined);
  }
}

function open(options: DatabaseWatchOptions): pg.Client {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs,
    query_timeout: options.statementTimeoutMs + 1_000,
  });
  client.on('error', () => undefined);
  return client;
}
