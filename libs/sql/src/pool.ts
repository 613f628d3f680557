/** Connections to PostgreSQL: a pool for short statements, and single sessions for a writer. */
import pg from 'pg';
import { prepareForWrites, run, startParameters, type Queryable, type Row } from './connection.ts';
import { createDatabaseWatch } from './database-watch.ts';
import { classifySqlError, SqlUnavailableError, UnsafeDatabaseError } from './errors.ts';

export type { Queryable, Row };

// bigint as number: our counters and sequence numbers stay below 2^53, and the schema checks it
// where they come from outside.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export interface SqlPool extends Queryable {
  /** Reads the rows one by one through a cursor; at most `fetchRows` rows are in memory. */
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
  /** The server cancels a statement that takes longer. Default 10 s. */
  statementTimeoutMs?: number;
  /**
   * For statements whose commits must last: refuses them with `UnsafeDatabaseError` while the
   * database could lose a commit, or a pooler mixes its sessions. Default false.
   */
  durable?: boolean;
}

/**
 * Makes a pool for short statements of many callers. Idle connections that break raise no error:
 * the next query reconnects.
 */
export function createPool(options: PoolOptions): SqlPool {
  const { url, applicationName, connectTimeoutMs = 3_000, durable = false } = options;
  const queryTimeoutMs = options.statementTimeoutMs ?? 10_000;
  const limits = { statementTimeoutMs: queryTimeoutMs };
  const watch = durable
    ? createDatabaseWatch({ url, applicationName, connectTimeoutMs, statementTimeoutMs: queryTimeoutMs })
    : undefined;
  const pool = new pg.Pool({
    connectionString: url,
    application_name: applicationName,
    max: options.connectionsMax ?? 5,
    connectionTimeoutMillis: connectTimeoutMs,
    ...(durable ? preparing(limits) : startParameters(limits)),
    // A frozen server or a cut connection sends no answer: the client has a deadline of its own,
    // which ends after that of the server.
    query_timeout: queryTimeoutMs + 1_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
  });
  pool.on('error', () => undefined);
  return {
    async query(text, values, name) {
      await watch?.assertSafe();
      return run(pool, text, values, name);
    },
    stream: (text, values = [], fetchRows = 5_000) => streamRows(pool, text, values, fetchRows),
    close: async () => pool.end(),
  };
}

/**
 * The hook that makes each new connection ready. The pool awaits it, although its type does not say
 * so.
 */
function preparing(limits: { statementTimeoutMs: number }): object {
  return { onConnect: async (client: pg.ClientBase) => prepareForWrites(client, limits) };
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
    // If the reader stops early or an error occurs, the transaction is still open: the connection
    // is closed with it.
    client.release(!complete);
  }
}

/** A single connection, for a caller that must know which session its statements run in. */
export interface SqlSession extends Queryable {
  /** Resolves when the connection has ended, for any reason. */
  readonly closed: Promise<void>;
  /** Ends the connection at once, without waiting for a running statement. */
  close(): void;
}

export interface SessionOptions {
  url: string;
  applicationName: string;
  connectTimeoutMs: number;
  statementTimeoutMs: number;
  lockTimeoutMs: number;
  /**
   * The server ends the session if a transaction waits for the client longer than this (I2: a
   * paused writer holds no lock).
   */
  idleInTransactionTimeoutMs: number;
  /**
   * For transactions whose commits must last: a database that could lose one is refused. Default
   * false.
   */
  durable?: boolean;
}

/**
 * Opens a session.
 * @throws SqlUnavailableError if the server cannot be reached; UnsafeDatabaseError
 */
export async function openSession(options: SessionOptions): Promise<SqlSession> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs,
    ...(options.durable === true ? {} : startParameters(options)),
    query_timeout: options.statementTimeoutMs + 1_000,
    keepAlive: true,
  });
  const closed = new Promise<void>((resolve) => {
    client.on('end', resolve);
    client.on('error', () => resolve());
  });
  try {
    await client.connect();
    if (options.durable === true) await prepareForWrites(client, options);
  } catch (error) {
    client.end().catch(() => undefined);
    throw error instanceof UnsafeDatabaseError ? error : new SqlUnavailableError(error);
  }
  return {
    closed,
    query: (text, values, name) => run(client, text, values, name),
    close: () => destroy(client),
  };
}

/** Closes the socket: `client.end()` would wait for the running statement. */
function destroy(client: pg.Client): void {
  const { connection } = client as unknown as { connection: { stream: { destroy(): void } } };
  connection.stream.destroy();
}
