/** Stops a mesh of this machine, wherever it was started. */
import { signalProcess, waitForEnd } from '@thermomesh/servers';
import type { MeshConfig } from '../config.ts';
import { meshError } from '../errors.ts';
import { layoutOf } from '../mesh/files/layout.ts';
import { livingSupervisor } from '../mesh/files/run-file.ts';
import { endLeftovers } from './supervisor/leftovers.ts';
import type { MeshEvent } from './supervisor/spec.ts';

/** The stages end one after the other, each with a deadline of its own. */
const gracefulStopMs = 60_000;
const killTimeoutMs = 10_000;

/**
 * Stops the mesh through its supervisor if that is alive, or else process by process.
 * @throws MeshError `mesh.stop_failed`
 */
export async function downMesh(
  config: MeshConfig,
  name: string,
  onEvent: (event: MeshEvent) => void,
): Promise<{ supervisor: boolean; leftovers: number }> {
  const layout = layoutOf(config.home, name);
  const supervisor = await livingSupervisor(layout);
  if (supervisor !== undefined) {
    await signalProcess(supervisor, 'SIGTERM');
    await signalProcess(supervisor, 'SIGCONT');
    if (!(await waitForEnd(supervisor, gracefulStopMs))) {
      onEvent({ event: 'notice', text: `the supervisor (pid ${supervisor.pid}) does not end, killing it` });
      await signalProcess(supervisor, 'SIGKILL');
      if (!(await waitForEnd(supervisor, killTimeoutMs))) {
        throw meshError('mesh.stop_failed', `the supervisor (pid ${supervisor.pid}) does not end`);
      }
    }
  }
  const leftovers = await endLeftovers(layout, onEvent);
  return { supervisor: supervisor !== undefined, leftovers };
}
