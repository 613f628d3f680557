export interface SuiteOutcome {
  passed: number;
  failed: number;
  signal?: string | null;
  overdue?: boolean;
  notRun?: string;
}
export const notRunCode: number;
export const reasonFileVariable: string;
export function judgeSuite(
  suite: { name: string; budgetSeconds: number; lifeSeconds: number },
  outcome: SuiteOutcome,
  run: { inCi: boolean; seconds: number },
): { passed: number; failed: number; green: boolean; lines: string[] };
