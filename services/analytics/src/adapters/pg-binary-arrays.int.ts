import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, type SqlPool } from '@thermomesh/sql';
import fc from 'fast-check';
import { asciiArray, boolArray, float4Array, int8Array, timestamptzArray } from './pg-binary-arrays.ts';

let database: TestDatabase;
let pool: SqlPool;

before(async () => {
  database = await testDatabase();
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
});

after(async () => {
  await pool.close();
  await database.drop();
});

/** Returns the values that PostgreSQL reads. */
async function read(type: string, array: Buffer): Promise<unknown> {
  const [row] = await pool.query<{ text: string[] }>(
    `SELECT coalesce(array_agg(v::text ORDER BY n), '{}') AS text FROM unnest($1::${type}[]) WITH ORDINALITY AS u (v, n)`,
    [array],
  );
  return row?.text;
}

const runs = { numRuns: 30 };
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.array(fc.option(arbitrary), { maxLength: 20 });
const textOf = (value: number | null) => (value === null ? null : String(value));

describe('binary arrays in PostgreSQL', () => {
  it('PostgreSQL reads integers up to 2^53 and empty arrays as written', async () => {
    assert.deepEqual(await read('bigint', int8Array([])), []);
    await fc.assert(
      fc.asyncProperty(orNull(fc.maxSafeNat()), async (values) => {
        assert.deepEqual(await read('bigint', int8Array(values)), values.map(textOf));
      }),
      runs,
    );
  });

  it('PostgreSQL reads times of every allowed year to the millisecond', async () => {
    const ms = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) });
    await fc.assert(
      fc.asyncProperty(fc.array(ms, { maxLength: 20 }), async (values) => {
        const [row] = await pool.query<{ ms: number[] | null }>(
          'SELECT array_agg((extract(epoch FROM v) * 1000)::bigint::float8 ORDER BY n) AS ms FROM unnest($1::timestamptz[]) WITH ORDINALITY AS u (v, n)',
          [timestamptzArray(values)],
        );
        assert.deepEqual(row?.ms ?? [], values);
      }),
      runs,
    );
  });

  it('PostgreSQL reads single precision as written, and minus zero as zero', async () => {
    await fc.assert(
      fc.asyncProperty(orNull(fc.float({ noNaN: true, noDefaultInfinity: true })), async (values) => {
        const found = (await read('real', float4Array(values))) as (string | null)[];
        const expected = values.map((value) => (value === null ? null : value + 0));
        assert.deepEqual(
          found.map((text) => (text === null ? null : Math.fround(Number(text)))),
          expected,
        );
      }),
      runs,
    );
  });

  it('PostgreSQL reads booleans and device ids as written', async () => {
    assert.deepEqual(await read('boolean', boolArray([true, null, false])), ['true', null, 'false']);
    assert.deepEqual(await read('text', asciiArray(['a', 'room-1_x.Y', '9'.repeat(64)])), [
      'a',
      'room-1_x.Y',
      '9'.repeat(64),
    ]);
  });
});
