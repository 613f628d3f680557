/** The supervisor's events as readable lines. */
import type { MeshEvent } from '../../local/supervisor/spec.ts';

export function describeEvent(event: MeshEvent): string {
  switch (event.event) {
    case 'process.started':
      return `${event.name}: started (pid ${event.pid}${event.start > 1 ? `, start ${event.start}` : ''})`;
    case 'process.ready':
      return `${event.name}: ready`;
    case 'process.exited':
      return `${event.name}: ended (${event.signal ?? `exit ${event.code ?? '?'}`})`;
    case 'process.start_failed':
      return `${event.name}: did not start: ${event.reason}`;
    case 'process.restart_pending':
      return `${event.name}: restarts ${event.held ? 'when it is released' : `in ${event.pauseMs} ms`}`;
    case 'process.stopped':
      return `${event.name}: stopped`;
    case 'part.off':
      return `${event.part}: off: ${event.reason}`;
    case 'leftover.ended':
      return `${event.name}: left behind by an earlier start (pid ${event.pid}), ended`;
    case 'notice':
      return event.text;
  }
}
