/**
 * The guards of the promises, each with the change that takes it out and the suites that must go red then. A mutant is a plain
 * text replacement, so that what is tested is the product's own code, not a switch inside it.
 */
import type { InvariantId } from '@thermomesh/contracts';

export interface Mutant {
  /** Kebab case; what `npm run mutants -- <name>` takes. */
  name: string;
  promise: InvariantId;
  /** What the guard does, in one line. */
  guard: string;
  /** Relative to the repository. */
  file: string;
  /** Stands in the file exactly once. */
  find: string;
  replace: string;
  /** Test files, relative to the repository; one of their tests has to fail. */
  suites: string[];
}

const migration = 'services/analytics/migrations/001.do.telemetry.sql';
const storeSuite = 'services/analytics/src/adapters/pg-drain-store.int.ts';
const coordinatorSuite = 'services/analytics/src/coordinator.int.ts';
const billingMigration = 'services/billing/migrations/002.do.gathered.sql';
const operationsSuite = 'services/billing/src/adapters/pg-operations.int.ts';
const paymentsSuite = 'services/billing/src/payments.int.ts';
const checkoutMigration = 'services/gateway/migrations/001.do.checkouts.sql';
const checkoutSuite = 'services/gateway/src/checkout/adapters/pg-checkout-store.int.ts';
const mapReduceSuites = ['libs/mapreduce/src/trace.test.ts', 'libs/mapreduce/src/properties.test.ts'];

export const mutants: Mutant[] = [
  {
    name: 'no-fence',
    promise: 'I2',
    guard: 'a batch of an epoch that is over is refused inside its own transaction',
    file: migration,
    find: 'SET renewed_at = clock_timestamp() WHERE epoch = p_epoch;',
    replace: 'SET renewed_at = clock_timestamp();',
    suites: [storeSuite],
  },
  {
    name: 'no-conflict-clause',
    promise: 'I1',
    guard: 'a reading that is stored already is not inserted again',
    file: migration,
    find: '    WHERE log_id > mark\n    ON CONFLICT DO NOTHING;\n',
    replace: '    WHERE log_id > mark;\n',
    suites: [storeSuite],
  },
  {
    name: 'no-high-water-mark',
    promise: 'I6',
    guard: 'a redelivered message is recognised by its log id and not counted again',
    file: migration,
    find: 'SELECT high_water_mark INTO mark FROM drain_logs WHERE log = p_log;',
    replace: 'mark := 0;',
    suites: [storeSuite],
  },
  {
    name: 'no-conflict-check',
    promise: 'I1',
    guard: 'the same seq with other content is rejected as seq_conflict, not taken for a duplicate',
    file: migration,
    find: 'IF conflicts IS NOT NULL THEN',
    replace: 'IF false THEN',
    suites: [storeSuite],
  },
  {
    name: 'no-gap-check',
    promise: 'I1',
    guard: 'messages that are missing before a batch do not fall below the high-water mark',
    file: migration,
    find: 'IF mark > 0 AND p_previous_log_id > mark AND NOT p_accept_gap THEN',
    replace: 'IF false THEN',
    suites: [storeSuite],
  },
  {
    name: 'ack-before-write',
    promise: 'I1',
    guard: 'a PUBACK waits for the store',
    file: 'services/gateway/src/adapters/publish-gate.ts',
    find: 'if (packet.qos > 0) return makeDurable(options, client, identity, packet, done);',
    replace:
      'if (packet.qos > 0) { makeDurable(options, client, identity, packet, () => undefined); return done(null); }',
    suites: ['services/gateway/src/adapters/durable-ack.int.ts'],
  },
  {
    name: 'ack-before-fsync',
    promise: 'I1',
    guard: 'a PUBACK waits for the sync, not only for the write',
    file: 'services/gateway/src/core/committer.ts',
    find: '.commit(operations).durable;',
    replace: '.commit(operations).applied;',
    suites: ['services/gateway/src/adapters/durable-ack.int.ts'],
  },
  {
    name: 'no-hold-off',
    promise: 'I2',
    guard: 'a coordinator that the database knows to be alive is not taken over',
    file: migration,
    find: 'IF alive AND NOT seen.released AND',
    replace: 'IF false AND NOT seen.released AND',
    suites: [storeSuite],
  },
  {
    name: 'no-yield',
    promise: 'I1',
    guard:
      'a coordinator that alone cannot reach PostgreSQL or the gateway gives its title to a node that can',
    file: 'libs/election/src/standing.ts',
    find: 'return !node.fit && fitPeer(node, null) !== null',
    replace: 'return false',
    suites: ['libs/election/src/trace.test.ts', 'libs/election/src/driver.test.ts'],
  },
  {
    name: 'slow-yield',
    promise: 'I1',
    guard: 'a coordinator that is cut from PostgreSQL steps down at once instead of waiting for its batch',
    file: 'services/analytics/src/coordinator.ts',
    find: 'if (options.sqlAnswers()) return',
    replace: 'if (options.sqlAnswers() || term) return',
    suites: [coordinatorSuite],
  },
  {
    name: 'no-hand-over',
    promise: 'I6',
    guard: 'an orderly end commits and acknowledges the batch under way and gives the lease back',
    file: 'services/analytics/src/coordinator.ts',
    find: 'return term.drain.release();',
    replace: 'return term.drain.abort();',
    suites: [coordinatorSuite],
  },
  {
    name: 'no-claim-conflict',
    promise: 'I3',
    guard: 'of any number of claims of one key, one gets the row and the others are told so',
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
    guard: 'no answer of the processor is asked for again under the same key, never taken for a decline',
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
    name: 'no-chunk-key',
    promise: 'I4',
    guard: 'contributions are kept by chunk id: a result that comes twice, or out of order, adds nothing',
    file: 'libs/mapreduce/src/jobs.ts',
    find: 'job.contributions.with(chunk, contribution)',
    replace: 'job.contributions.with(job.done, contribution)',
    suites: mapReduceSuites,
  },
  {
    name: 'no-chunk-in-the-merge',
    promise: 'I4',
    guard: 'a histogram that is delivered twice counts once',
    file: 'libs/equalization/src/merge.ts',
    find: 'this.#byChunk.set(chunkId, {',
    replace: 'this.#byChunk.set(`${chunkId}#${this.#byChunk.size}`, {',
    suites: ['libs/equalization/src/refusals.test.ts'],
  },
  {
    name: 'no-coordinator-epoch',
    promise: 'I4',
    guard:
      'results made for a coordinator that was deposed before the plan was stored belong to no chunk of it',
    file: 'libs/mapreduce/src/refusals.ts',
    find: 'if (record.coordinatorEpoch < job.metadata.phaseEpoch)',
    replace: 'if (false)',
    suites: mapReduceSuites,
  },
  {
    name: 'no-partition-epoch',
    promise: 'I4',
    guard: 'a leader that was paused and replaced answers for its partition no longer',
    file: 'libs/mapreduce/src/refusals.ts',
    find: 'if (record.partitionEpoch < highest)',
    replace: 'if (false)',
    suites: mapReduceSuites,
  },
  {
    name: 'no-attempt-check',
    promise: 'I5',
    guard: 'a failure counts once and for its own attempt: redelivery never fails a job',
    file: 'libs/mapreduce/src/refusals.ts',
    find: 'return present ?',
    replace: 'return present || issue ?',
    suites: mapReduceSuites,
  },
  {
    name: 'no-outbox',
    promise: 'I5',
    guard: 'an accepted checkout stays in the outbox until it is final, not until the queue has heard of it',
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
    guard: 'a customer key that was used for another order is refused, not answered with that one’s 202',
    file: 'services/gateway/src/checkout/core/orders.ts',
    find: "if (replayed && accepted.fingerprint !== fingerprint) return { type: 'other_parameters' };",
    replace: '',
    suites: ['services/gateway/src/checkout/core/orders.test.ts'],
  },
  {
    name: 'no-final-fence',
    promise: 'I3',
    guard: 'an answer that comes late changes nothing of a final checkout',
    file: checkoutMigration,
    find: "WHERE checkout_id = p_checkout_id AND status = 'accepted';",
    replace: 'WHERE checkout_id = p_checkout_id;',
    suites: [checkoutSuite],
  },
  {
    name: 'zk-no-deadline',
    promise: 'I2',
    guard: 'a leader whose server is silent stops acting after two thirds of its session',
    file: 'libs/zookeeper/src/client/session-state.ts',
    find: "return state.phase === 'connected' && nowMs < actUntilMs(state);",
    replace: "return state.phase === 'connected';",
    suites: ['libs/zookeeper/src/client/session-state.test.ts'],
  },
  {
    name: 'zk-no-loss-by-clock',
    promise: 'I2',
    guard: 'a process that slept through its session has lost it, whatever the first event says',
    file: 'libs/zookeeper/src/client/session-state.ts',
    find: 'if (state.session !== undefined && nowMs >= lostAtMs(state)) return lose(state);',
    replace: '',
    suites: ['libs/zookeeper/src/client/session-state.test.ts'],
  },
  {
    name: 'zk-late-answer-proves',
    promise: 'I2',
    guard: 'a late answer proves the session alive only as of its request',
    file: 'libs/zookeeper/src/client/session-state.ts',
    find: 'Math.max(state.provenAtMs, event.sentAtMs) };',
    replace: 'event.nowMs };',
    suites: ['libs/zookeeper/src/client/session-state.test.ts'],
  },
  {
    name: 'zk-no-adoption',
    promise: 'I2',
    guard: 'a ticket whose create was not answered is found by its GUID, not drawn twice',
    file: 'libs/zookeeper/src/recipes/seat.ts',
    find: 'if (drawnIn === session) {',
    replace: "if (drawnIn === session && guid === '') {",
    suites: ['libs/zookeeper/src/hazards/ambiguity.int.ts'],
  },
  {
    name: 'zk-deletes-what-is-anothers',
    promise: 'I2',
    guard: 'a delete whose answer was lost is not sent again before the node has been looked at',
    file: 'libs/zookeeper/src/recipes/lease.ts',
    find: 'if (again && !(await isStillOwned(zk, node))) return;',
    replace: '',
    suites: ['libs/zookeeper/src/hazards/ambiguity.int.ts'],
  },
  {
    name: 'zk-no-owner-check',
    promise: 'I2',
    guard: 'a node is mine only if this session owns it and this create made it',
    file: 'libs/zookeeper/src/recipes/lease.ts',
    find: 'if (stat?.ephemeralOwner !== this.#session.id || stat.czxid !== this.epoch) {',
    replace: 'if (stat === undefined) {',
    suites: ['libs/zookeeper/src/hazards/ambiguity.int.ts'],
  },
  {
    name: 'zk-watch-on-the-vanished',
    promise: 'I5',
    guard: 'a predecessor that vanished before its watch was set is not waited for',
    file: 'libs/zookeeper/src/recipes/queue.ts',
    find: 'if (stat === undefined) continue;',
    replace: '',
    suites: ['libs/zookeeper/src/hazards/ambiguity.int.ts'],
  },
  {
    name: 'zk-version-zero-is-any',
    promise: 'I2',
    guard: 'version 0 in a multi means version 0',
    file: 'libs/zookeeper/src/client/zookeeper.ts',
    find: 'if (last !== undefined) last.version = operation.version ?? anyVersion;',
    replace: 'if (last !== undefined) last.version ??= anyVersion;',
    suites: ['libs/zookeeper/src/client/client.int.ts'],
  },
];
