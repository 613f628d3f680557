/** Database and orders for the checkout's tests. */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, type SqlPool } from '@thermomesh/sql';
import type { NewCheckout } from './core/checkout.ts';

export const migrations = {
  folder: fileURLToPath(new URL('../../migrations', import.meta.url)),
  table: 'gateway_schema',
};

/** A database with the checkout's schema. */
export interface CheckoutDatabase {
  url: string;
  pool: SqlPool;
  drop(): Promise<void>;
}

export async function checkoutDatabase(): Promise<CheckoutDatabase> {
  const database: TestDatabase = await testDatabase();
  await migrate({ url: database.url, ...migrations });
  const pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test', connectionsMax: 20 });
  return {
    url: database.url,
    pool,
    async drop() {
      await pool.close();
      await database.drop();
    },
  };
}

/** An order with new random ids. */
export function newOrder(more: Partial<NewCheckout> = {}): NewCheckout {
  return {
    checkoutId: randomUUID(),
    caller: 'key:1',
    customerKey: randomUUID(),
    fingerprint: 'aa',
    transactionId: randomUUID(),
    payer: 'alice',
    amountMinor: 1_250,
    currency: 'EUR',
    tokenBox: Buffer.from('sealed'),
    ...more,
  };
}
