/** Problem documents of the proxy to the analytics nodes. */
import { problemsOf } from '../problem.ts';
import { errorCodes } from './core/errors.ts';

export const problem = problemsOf(errorCodes);
