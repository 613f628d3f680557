/** Guards of the way from device to table. */
import type { Mutant } from '../mutant.ts';

const migration = 'services/analytics/migrations/001.do.telemetry.sql';
const storeSuite = 'services/analytics/src/adapters/pg-drain-store.int.ts';
const coordinatorSuite = 'services/analytics/src/coordinator.int.ts';

export const telemetryMutants: Mutant[] = [
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
    find: 'return !node.fit && (fitPeer(node, null) !== null || seesNobody(node))',
    replace: 'return false',
    suites: ['libs/election/src/trace.test.ts', 'libs/election/src/driver.test.ts'],
  },
  {
    name: 'no-yield-out-of-sight',
    promise: 'I5',
    guard: 'a coordinator that cannot drain and sees nobody does not keep its lease from those that could',
    file: 'libs/election/src/standing.ts',
    find: ' || seesNobody(node)',
    replace: '',
    suites: ['libs/election/src/trace.test.ts'],
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
];
