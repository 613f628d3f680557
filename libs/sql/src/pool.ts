/** Connections to PostgreSQL: a pool for reading, and single sessions for the one that writes. */
import pg from 'pg';
import { classifySqlError, SqlUnavailableError } from './errors.ts';

// bigint as number: our counters and sequence numbers stay below 2^53, and the schema checks it where they come from outside.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export type Row = Record<string, unknown>;

/** Runs one statement. Errors are the classes of errors.ts. */
export interface Queryable {
  query<R extends Row = Row>(text: string, values?: readonly unknown[], name?: string): Promise<R[]>;
}

export interface SqlPool extends Queryable {
  /** Rows one by one through a cursor; memory stays at `fetchRows` rows however long the answer is. */
  stream<R extends Row = Row>(
    text: string,
    values?: readonly unknown[],
    fetchRows?: number,
  ): AsyncGenerator<R>;
  close(): Promise<void>;
}

export interface PoolOptions {
  url: string;
  /** Shown in pg_stat_activity. */
  applicationName: string;
  connectionsMax?: number;
  connectTimeoutMs?: number;
  /** The server ends a statement that takes longer. */
  statementTimeoutMs?: number;
}

/** A pool for short statements of many callers. Never throws on idle connections that break: the next query reconnects. */
export function createPool(options: PoolOptions): SqlPool {
  const queryTimeoutMs = options.statementTimeoutMs ?? 10_000;
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.connectionsMax ?? 5,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 3_000,
    statement_timeout: queryTimeoutMs,
    // A frozen server or a cut cable answers nothing: the client has its own deadline behind the server's.
    query_timeout: queryTimeoutMs + 1_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
  });
  pool.on('error', () => undefined);
  return {
    query: (text, values, name) => run(pool, text, values, name),
    stream: (text, values = [], fetchRows = 5_000) => streamRows(pool, text, values, fetchRows),
    close: async () => pool.end(),
  };
}

async function* streamRows<R extends Row>(
  pool: pg.Pool,
  text: string,
  values: readonly unknown[],
  fetchRows: number,
): AsyncGenerator<R> {
  const client = await pool.connect().catch((error: unknown) => {
    throw classifySqlError(error);
  });
  let complete = false;
  try {
    await run(client, 'BEGIN READ ONLY');
    await run(client, `DECLARE rows NO SCROLL CURSOR FOR ${text}`, values);
    for (;;) {
      const rows = await run<R>(client, `FETCH ${fetchRows} FROM rows`);
      yield* rows;
      if (rows.length < fetchRows) break;
    }
    await run(client, 'COMMIT');
    complete = true;
  } finally {
    // A reader that stops early, or an error, leaves a transaction open: the connection goes with it.
    client.release(!complete);
  }
}

/** One connection of its own, for a caller that must know which session it speaks on. */
export interface SqlSession extends Queryable {
  /** Resolves once, when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
  /** Ends the connection at once, without waiting for a statement that is under way. */
  close(): void;
}

export interface SessionOptions {
  url: string;
  applicationName: string;
  connectTimeoutMs: number;
  statementTimeoutMs: number;
  lockTimeoutMs: number;
  /** The server ends the session if a transaction waits for the client longer than this (I2: a paused writer holds no lock). */
  idleInTransactionTimeoutMs: number;
}

/** Opens a session. @throws SqlUnavailableError */
export async function openSession(options: SessionOptions): Promise<SqlSession> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs,
    statement_timeout: options.statementTimeoutMs,
    lock_timeout: options.lockTimeoutMs,
    idle_in_transaction_session_timeout: options.idleInTransactionTimeoutMs,
    query_timeout: options.statementTimeoutMs + 1_000,
    keepAlive: true,
  });
  const closed = new Promise<void>((resolve) => {
    client.on('end', resolve);
    client.on('error', () => resolve());
  });
  try {
    await client.connect();
  } catch (error) {
    client.end().catch(() => undefined);
    throw new SqlUnavailableError(error);
  }
  return {
    closed,
    query: (text, values, name) => run(client, text, values, name),
    close: () => destroy(client),
  };
}

/** `client.end()` waits for the statement under way; a session that is given up must not. */
function destroy(client: pg.Client): void {
  const { connection } = client as unknown as { connection: { stream: { destroy(): void } } };
  connection.stream.destroy();
}

async function run<R extends Row>(
  target: pg.Pool | pg.Client | pg.PoolClient,
  text: string,
  values: readonly unknown[] = [],
  name?: string,
): Promise<R[]> {
  try {
    const config = { text, values: [...values], ...(name === undefined ? {} : { name }) };
    const result = await target.query<R>(config);
    return result.rows;
  } catch (error) {
    throw classifySqlError(error);
  }
}
