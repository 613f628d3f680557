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
    name: 'no-hold-off',
    promise: 'I2',
    guard: 'a coordinator that the database knows to be alive is not taken over',
    file: migration,
    find: 'IF alive AND NOT seen.released AND',
    replace: 'IF false AND NOT seen.released AND',
    suites: [storeSuite],
  },
];
