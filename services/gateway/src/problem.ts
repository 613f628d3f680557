/** Problem documents of the gateway's routes. */
import { HttpError, type ProblemOptions } from '@thermomesh/runtime';

/** Makes an HTTP error whose code is in a closed list. */
export type MakeProblem<Code extends string> = (
  status: number,
  code: Code,
  detail: string,
  options?: ProblemOptions,
) => HttpError;

/** The function that makes the problems of one part of the gateway, from its list of codes. */
export function problemsOf<Code extends string>(_codes: Readonly<Record<Code, unknown>>): MakeProblem<Code> {
  return (status, code, detail, options) => new HttpError(status, code, detail, options);
}
