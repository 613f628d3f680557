/** What a mutant is. */
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
