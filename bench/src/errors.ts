/** Every error code of the bench. */
import { defineErrors } from '@thermomesh/runtime';

export const { codes: errorCodes, error: benchError } = defineErrors({
  /** Not a failure: the message is the help text. */
  help: { retriable: false },
  usage: { retriable: false },
  /** A program did not get ready; the message ends with the end of its log. */
  'bench.start_failed': { retriable: false },
  /** A child of the bench ended, or its handler threw. */
  'bench.child_failed': { retriable: false },
  /** A service answered with another document than the one that was expected. */
  'bench.no_answer': { retriable: true },
  'bench.job_failed': { retriable: false },
  'bench.libraries_absent': { retriable: false },
  'bench.library_failed': { retriable: false },
  /** Some accepted payment has not exactly one charge (I3), so no figure counts. */
  'bench.not_one_charge': { retriable: false },
  /** Two arms made different pixels (I4), so no figure counts. */
  'bench.not_identical': { retriable: false },
  /** More or fewer readings are stored than were acknowledged (I1), so no figure counts. */
  'bench.unbalanced': { retriable: false },
  /** Answers of the design that billing is compared with, as billing gives them. */
  'payments.bad_key': { retriable: false },
  'payments.other_parameters': { retriable: false },
});
