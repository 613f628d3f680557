/** One line for each operation of the gateway's address; a route's own summary comes first. */

/** The operations by method and path. */
export const summaries: Readonly<Record<string, string>> = {
  'GET /': 'Where things are: this list, as HTML or JSON.',
  'GET /livez': 'Whether the process lives.',
  'GET /readyz': 'Whether the gateway takes work, with the reason if it does not.',
  'GET /metrics': 'Metrics in the format of Prometheus.',
  'GET /openapi.json': 'This document.',
  'GET /v1/broker': 'Connections, sessions, backlog and counters of the broker.',
  'GET /v1/coordinator': 'Who coordinates, as one analytics node sees it.',
  'GET /v1/drain-limits': 'The limits of a batch at one analytics node.',
  'GET /v1/accounts': 'What PostgreSQL has stored, by gateway store and summed.',
  'GET /v1/devices': 'The latest state of every device.',
  'GET /v1/devices/{deviceId}': 'The latest state of a device.',
  'DELETE /v1/devices/{deviceId}': 'Erases the stored data of a device.',
  'GET /v1/devices/{deviceId}/erased': 'What was erased of a device, and when.',
  'GET /v1/devices/{deviceId}/readings': 'Readings of a device, or averages over buckets of time.',
  'GET /v1/devices/{deviceId}/incarnations': 'The incarnations that operators have opened for a device.',
  'POST /v1/devices/{deviceId}/incarnations': 'Opens the next incarnation of a replaced device.',
  'GET /v1/devices/{deviceId}/rejections': 'How many messages of a device were rejected, by reason.',
  'GET /v1/devices/{deviceId}/commands': 'The commands of a device, newest first.',
  'POST /v1/devices/{deviceId}/commands':
    'Sends a command to a device; the same Idempotency-Key is the same command.',
  'GET /v1/devices/{deviceId}/commands/{commandId}': 'The state of a command.',
  'DELETE /v1/devices/{deviceId}/commands/{commandId}':
    'Cancels a command that is not final; one that was sent may have been obeyed.',
  'GET /v1/devices/{deviceId}/commands/{commandId}/events':
    'The states of a command as they come (server-sent events).',
  'GET /v1/rejected': 'The newest messages that could not become readings.',
  'DELETE /v1/rejected': 'Deletes rejected messages.',
  'DELETE /v1/rejected/{id}': 'Deletes one rejected message.',
  'POST /v1/rejected/{id}/replay': 'Tries again to store a rejected message.',
  'GET /v1/rejected/summary': 'How many messages of each device were rejected, by reason.',
  'GET /v1/checkouts': 'Your checkouts, newest first.',
  'POST /v1/checkouts': 'Places an order; the same Idempotency-Key is the same order.',
  'GET /v1/checkouts/{checkoutId}': 'The state of a checkout.',
  'GET /v1/checkouts/{checkoutId}/events': 'The states of a checkout as they come (server-sent events).',
  'GET /v1/jobs': 'Your image jobs, newest first.',
  'POST /v1/jobs': 'Uploads an image to be equalized.',
  'GET /v1/jobs/{id}': 'The state of an image job.',
  'DELETE /v1/jobs/{id}': 'Requests the cancellation of an image job.',
  'GET /v1/jobs/{id}/events': 'The states of an image job as they come (server-sent events).',
  'GET /v1/jobs/{id}/result': 'The equalized image.',
};

/** The group of an operation, by the start of its path. */
const tags: readonly (readonly [string, string])[] = [
  ['/v1/devices/{deviceId}/commands', 'commands'],
  ['/v1/devices', 'readings'],
  ['/v1/rejected', 'rejected messages'],
  ['/v1/checkouts', 'checkout'],
  ['/v1/jobs', 'image jobs'],
  ['/v1/', 'mesh'],
  ['/', 'gateway'],
];

/** The group of the operations of a path. */
export function tagOf(path: string): string {
  return tags.find(([start]) => path.startsWith(start))?.[1] ?? 'gateway';
}
