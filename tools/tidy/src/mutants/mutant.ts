/** What a mutant is. */
import type { InvariantId } from '@thermomesh/contracts';

export interface Mutant {
  /** Kebab case; what `npm run mutants -- <name>` takes. */
  name: string;
  /** I9 is not yet among the promises that `mesh verify` judges. */
  promise: InvariantId | 'I9';
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
