/** How many connections this process may have open. */
import { MeshError } from '@thermomesh/runtime';

/** Files of the process itself: ledger, standard streams, what Node.js opens. */
const otherFilesMax = 100;

/**
 * A device is a socket is an open file. Node.js has raised the soft limit to the hard one when it started.
 * @throws MeshError `load.open_files` if the limit is too low: half a fleet that retries for ever would prove nothing
 */
export function checkOpenFiles(devices: number, limit = openFilesMax()): void {
  if (devices + otherFilesMax <= limit) return;
  throw new MeshError(
    'load.open_files',
    `${devices} devices need as many open files, but this process may have ${limit}: ulimit -n raises it`,
  );
}

/** The limit as the operating system tells it; without one (Windows), as many as there may be. */
function openFilesMax(): number {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } };
  const soft = report.userLimits?.open_files?.soft;
  return typeof soft === 'number' ? soft : Infinity;
}
