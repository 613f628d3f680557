/** Guards of payments and checkouts. */
import type { Mutant } from '../mutant.ts';

const billingMigration = 'services/billing/migrations/002.do.gathered.sql';
const operationsSuite = 'services/billing/src/adapters/pg-operations.int.ts';
const paymentsSuite = 'services/billing/src/payments.int.ts';
const checkoutMigration = 'services/gateway/migrations/001.do.checkouts.sql';
const checkoutSuite = 'services/gateway/src/checkout/adapters/pg-checkout-store.int.ts';

export const paymentsMutants: Mutant[] = [
  {
    name: 'no-claim-conflict',
    promise: 'I3',
    guard: 'of any number of claims of one key, exactly one gets the row',
    file: billingMigration,
    find: 'ON CONFLICT DO NOTHING RETURNING id',
    replace: 'ON CONFLICT (caller, transaction_id) DO UPDATE SET holder = excluded.holder RETURNING id',
    suites: [operationsSuite],
  },
  {
    name: 'no-attempt-fence',
    promise: 'I3',
    guard: 'a replica that was paused cannot finish what another has taken over',
    file: billingMigration,
    find: "AND o.phase = 'charging' AND o.attempt = i.attempt",
    replace: "AND o.phase = 'charging'",
    suites: [operationsSuite],
  },
  {
    name: 'no-derived-key',
    promise: 'I3',
    guard:
      'the key that the processor sees includes the caller: the same UUID of two callers is two payments',
    file: 'services/billing/src/core/secrets.ts',
    find: "JSON.stringify(['thermomesh.billing', caller, kind, transactionId])",
    replace: "JSON.stringify(['thermomesh.billing', kind, transactionId])",
    suites: [paymentsSuite],
  },
  {
    name: 'unknown-is-final',
    promise: 'I3',
    guard:
      'a missing answer of the processor is asked for again under the same key, never taken for a decline',
    file: 'libs/idempotency/src/step.ts',
    find: "return state.phase === 'charging' ? unknown(state, limits) : [state, []];",
    replace:
      "return [{ ...state, phase: 'declined', outcome: 'declined' }, [{ type: 'commit', attempt: state.attempt, outcome: 'declined' }]];",
    suites: ['libs/idempotency/src/step.test.ts', 'libs/idempotency/src/trace.test.ts'],
  },
  {
    name: 'no-fingerprint',
    promise: 'I3',
    guard: 'the same key with other parameters is refused, not answered with another payment’s answer',
    file: 'libs/idempotency/src/step.ts',
    find: 'if (record.fingerprint !== fingerprint)',
    replace: 'if (false)',
    suites: [paymentsSuite],
  },
  {
    name: 'no-take-over',
    promise: 'I5',
    guard: 'the sweeper finishes what a holder that died has left in doubt',
    file: 'services/billing/src/payments.ts',
    find: 'const operations = await store.inDoubt(rowsMax);',
    replace: 'const operations = (await store.inDoubt(rowsMax)).slice(0, 0);',
    suites: [paymentsSuite],
  },
  {
    name: 'no-outbox',
    promise: 'I5',
    guard: 'an accepted checkout stays in the outbox until it is final, not until it is in the queue',
    file: 'services/gateway/src/checkout/adapters/pg-checkout-store.ts',
    find: "UPDATE checkout_outbox SET due_at = clock_timestamp() + $2 * interval '1 ms', hand_overs = hand_overs + 1\n          WHERE",
    replace: 'DELETE FROM checkout_outbox WHERE $2::int > 0 AND',
    suites: [checkoutSuite],
  },
  {
    name: 'no-customer-key',
    promise: 'I3',
    guard: 'the same key of the same customer is the same checkout, not a second order',
    file: checkoutMigration,
    find: 'UNIQUE (caller, customer_key),',
    replace: 'UNIQUE (caller, customer_key, checkout_id),',
    suites: [checkoutSuite],
  },
  {
    name: 'no-customer-fingerprint',
    promise: 'I3',
    guard: 'a customer key of another order is refused, not answered with that order’s 202',
    file: 'services/gateway/src/checkout/core/orders.ts',
    find: "if (replayed && accepted.fingerprint !== fingerprint) return { type: 'other_parameters' };",
    replace: '',
    suites: ['services/gateway/src/checkout/core/orders.test.ts'],
  },
  {
    name: 'no-final-fence',
    promise: 'I3',
    guard: 'a late answer does not change a final checkout',
    file: checkoutMigration,
    find: "WHERE checkout_id = p_checkout_id AND status = 'accepted';",
    replace: 'WHERE checkout_id = p_checkout_id;',
    suites: [checkoutSuite],
  },
  {
    name: 'second-charge-unseen',
    promise: 'I3',
    guard: "the verdict counts the charges of each key in the processor's own ledger",
    file: 'tools/mesh/src/verdict/charges.ts',
    find: 'if (some.length > 1) findings',
    replace: 'if (some.length > 2) findings',
    suites: ['tools/mesh/src/verdict/verdicts.test.ts'],
  },
  {
    name: 'unsafe-database-used',
    promise: 'I3',
    guard: 'nothing is written to a database that could lose a commit',
    file: 'libs/sql/src/durability.ts',
    find: "if (issue !== undefined) throw new UnsafeDatabaseError('sql.not_durable', issue);",
    replace: '',
    suites: ['libs/sql/src/durability.test.ts'],
  },
  {
    name: 'pooler-not-seen',
    promise: 'I2',
    guard: 'a connection that is several sessions is not used',
    file: 'libs/sql/src/database-watch.ts',
    find: 'assertSessions(answers);',
    replace: '',
    suites: ['libs/sql/src/durability.int.ts'],
  },
  {
    name: 'amount-named-twice',
    promise: 'I3',
    guard: 'a body with two members of one name is refused: a proxy and billing could read two amounts',
    file: 'libs/contracts/src/json-ambiguity.ts',
    find: 'names?.has(text) === true',
    replace: 'false',
    suites: ['libs/contracts/src/json-ambiguity.test.ts', 'libs/runtime/src/http.test.ts'],
  },
  {
    name: 'query-numbers-rounded',
    promise: 'I3',
    guard: 'a number of a query is written in digits: nothing else is rounded to one',
    file: 'libs/runtime/src/validation.ts',
    find: '/^-?\\d{1,16}$/.test(value)',
    replace: '!Number.isNaN(Number(value))',
    suites: ['libs/runtime/src/http.test.ts'],
  },
];
