/** The error codes of this package. */
import { defineErrors } from '@thermomesh/runtime';

/** Servers that this package starts; each is the prefix of its error codes. */
export type ServerKind = 'postgres' | 'redis' | 'zookeeper' | 'kafka';

export const { codes: errorCodes, error: serverError } = defineErrors({
  'java.absent': { retriable: false },
  'java.jars_absent': { retriable: false },
  'kafka.already_running': { retriable: false },
  'kafka.incomplete': { retriable: true },
  'kafka.start_failed': { retriable: 'depends' },
  'kafka.stop_failed': { retriable: false },
  'postgres.already_running': { retriable: false },
  'postgres.init_failed': { retriable: false },
  'postgres.no_binaries': { retriable: false },
  'postgres.no_user': { retriable: false },
  'postgres.password_lost': { retriable: false },
  'postgres.start_failed': { retriable: false },
  'postgres.stop_failed': { retriable: false },
  'postgres.unreachable': { retriable: false },
  'redis.absent': { retriable: false },
  'redis.already_running': { retriable: false },
  'redis.start_failed': { retriable: false },
  'redis.stop_failed': { retriable: false },
  'tools.lock_failed': { retriable: false },
  'tools.lock_timeout': { retriable: false },
  'zookeeper.already_running': { retriable: false },
  'zookeeper.no_quorum': { retriable: true },
  'zookeeper.start_failed': { retriable: false },
  'zookeeper.stop_failed': { retriable: false },
});
