/** Judges the outcome of one suite of `npm test`. Plain JavaScript for Node >= 20. */

/** Exit code of a check that could not run here, as in Automake. */
export const notRunCode = 77;

/** A check writes the reason why it did not run into the file that this variable names. */
export const reasonFileVariable = 'NOT_RUN_REASON_FILE';

/**
 * Judges one suite. In CI a suite that did not run has failed: a machine that silently lacks
 * something must not look green.
 * @param {{ name: string, budgetSeconds: number, lifeSeconds: number }} suite
 * @param outcome what ended, or `notRun`: the reason why it did not run
 * @param {{ inCi: boolean, seconds: number }} run
 * @returns {{ passed: number, failed: number, green: boolean, lines: string[] }} `green` suites
 *   have run and passed
 */
export function judgeSuite({ name, budgetSeconds, lifeSeconds }, outcome, { inCi, seconds }) {
  const label = name.padEnd(12);
  const { passed, failed, signal, overdue, notRun } = outcome;
  if (notRun !== undefined) {
    const line = inCi ? `${label} FAILED: it did not run: ${notRun}` : `${label} not run: ${notRun}`;
    return { passed: 0, failed: inCi ? 1 : 0, green: false, lines: [line] };
  }
  const over = inCi && seconds > budgetSeconds ? `, OVER its budget of ${budgetSeconds} s` : '';
  const counts = passed + failed > 1 ? ` (${passed} passed, ${failed} failed)` : '';
  const word = failed === 0 ? 'ok' : 'FAILED';
  const lines = [
    ...(overdue === true ? [`${label} did not end within ${lifeSeconds} s: killed`] : []),
    `${label} ${word} in ${seconds.toFixed(1)} s${counts}${over}`,
    ...(signal == null ? [] : [`ended by ${signal}: the rest was not run`]),
  ];
  return {
    passed,
    failed: signal == null ? failed : Math.max(1, failed),
    green: failed === 0 && signal == null,
    lines,
  };
}
