export { createDatabaseWatch, type DatabaseWatch, type DatabaseWatchOptions } from './database-watch.ts';
export {
  classifySqlError,
  DataRefusedError,
  SqlStatementError,
  SqlUnavailableError,
  StaleEpochError,
  UnsafeDatabaseError,
  staleEpochState,
} from './errors.ts';
export * from './migrate.ts';
export * from './pool.ts';
export * from './run-migrations.ts';
