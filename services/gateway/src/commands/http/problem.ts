/** Problem documents of the commands. */
import { problemsOf } from '../../problem.ts';
import { errorCodes } from '../core/errors.ts';

export const problem = problemsOf(errorCodes);
