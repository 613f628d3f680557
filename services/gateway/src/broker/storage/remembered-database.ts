/**
 * The database that the log of this store is drained into. A coordinator that works with another
 * one does not drain (ADR 0020).
 */
import type { Store } from '../core/ports.ts';
import type { Committer } from './committer.ts';

export interface RememberedDatabase {
  /** UUID of the database; null before the first drain. */
  readonly id: string | null;
  /**
   * Resolves when the store has remembered the database durably.
   * @throws MeshError `store.closed`
   */
  bind(id: string): Promise<void>;
}

const databaseKey = Buffer.from('database');

/** Reads what the store remembers. */
export function rememberDatabase(store: Store, committer: Committer): RememberedDatabase {
  let id = store.get('meta', databaseKey)?.toString() ?? null;
  return {
    get id() {
      return id;
    },
    async bind(next) {
      const value = Buffer.from(next);
      await committer.submit('housekeeping', () => [{ table: 'meta', key: databaseKey, value }]);
      id = next;
    },
  };
}
