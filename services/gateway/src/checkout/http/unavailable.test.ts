import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MeshError } from '@thermomesh/runtime';
import { withAnswers } from './unavailable.ts';

it('an order is refused with the reason of the database, in words for the customer', async () => {
  const cases: [string, string][] = [
    ['sql.unavailable', 'checkout.database_down'],
    ['sql.not_durable', 'checkout.database_unsafe'],
    ['sql.not_a_session', 'checkout.database_unsafe'],
  ];
  for (const [code, answer] of cases) {
    const work = async () => Promise.reject(new MeshError(code, 'run ALTER ROLE ann', { retriable: true }));
    await assert.rejects(withAnswers(1, work), (error: Error & { code?: string }) => {
      assert.equal(error.code, answer);
      assert.doesNotMatch(error.message, /ALTER ROLE/);
      return true;
    });
  }
});
