/** Checks how many connections this process may have open. */
import { thermostatError } from '../core/errors.ts';

/** Files that the process itself opens: ledger, standard streams, files of Node.js. */
const otherFilesMax = 100;

/**
 * Checks the limit of open files, as each device needs a socket. Node.js raises the soft limit to
 * the hard one when it starts.
 * @throws MeshError `load.open_files` if the limit is too low: a run in which half the fleet can
 *   never connect would prove nothing
 */
export function checkOpenFiles(devices: number, limit = openFilesMax()): void {
  if (devices + otherFilesMax <= limit) return;
  throw thermostatError(
    'load.open_files',
    `${devices} devices need as many open files, but this process may open ${limit}; raise the limit with ulimit -n`,
  );
}

/** Returns the limit of the operating system; Infinity if it has none (Windows). */
function openFilesMax(): number {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } };
  const soft = report.userLimits?.open_files?.soft;
  return typeof soft === 'number' ? soft : Infinity;
}
