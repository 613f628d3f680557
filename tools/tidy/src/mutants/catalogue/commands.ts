/** Guards of commands to devices. */
import type { Mutant } from '../mutant.ts';

const migration = 'services/gateway/migrations/002.do.device_commands.sql';
const storeSuite = 'services/gateway/src/commands/adapters/pg-command-store.int.ts';

export const commandsMutants: Mutant[] = [
  {
    name: 'command-deadline-ignored',
    promise: 'I9',
    guard: 'a command whose deadline has passed, or passes within the margin, is not sent',
    file: migration,
    find: "AND c.deadline_at > clock_timestamp() + p_margin_ms * interval '1 ms'",
    replace: '',
    suites: [storeSuite],
  },
  {
    name: 'command-time-not-counted',
    promise: 'I9',
    guard: 'the time that a query took is taken from the time that a command has left',
    file: 'services/gateway/src/commands/core/due-devices.ts',
    find: 'return remainingMs - elapsedMs - marginMs;',
    replace: 'return remainingMs - marginMs;',
    suites: ['services/gateway/src/commands/core/due-devices.test.ts'],
  },
  {
    name: 'command-key-ignored',
    promise: 'I9',
    guard: 'the same Idempotency-Key of a caller is the same command',
    file: 'services/gateway/src/commands/http/routes.ts',
    find: 'const callerKey = callerKeyOf(request);',
    replace: 'callerKeyOf(request);\n      const callerKey = randomUUID();',
    suites: ['services/gateway/src/commands/http/routes.int.ts'],
  },
];
