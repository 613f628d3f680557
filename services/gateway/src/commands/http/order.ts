/** Reads the body of a new command: what its kind needs, and its deadline. */
import { parseTime, type CommandRequest } from '@thermomesh/contracts';
import type { Expiry, Order } from '../core/command.ts';
import { problem } from './problem.ts';

/** Which further parameter each kind takes. */
const parameterOf = { setpoint: 'setpointCelsius', mode: 'mode', reboot: undefined } as const;
const parameters = ['setpointCelsius', 'mode'] as const;

/** @throws HttpError 400 if the parameters do not fit the kind */
export function orderOf(body: CommandRequest): Order {
  const wanted = parameterOf[body.kind];
  for (const param of parameters) {
    if ((body[param] !== undefined) === (param === wanted)) continue;
    const what = param === wanted ? 'needs' : 'does not take';
    throw problem(400, 'command.bad_parameters', `a command of kind "${body.kind}" ${what} ${param}`, {
      param,
      in: 'body',
    });
  }
  return { kind: body.kind, setpointCelsius: body.setpointCelsius ?? null, mode: body.mode ?? null };
}

/**
 * Undefined if the body leaves the deadline to the gateway.
 * @throws HttpError 400 if it names a time that cannot be read, or both ways
 */
export function expiryOf({ deadline, expiresInSeconds }: CommandRequest): Expiry | undefined {
  if (deadline === undefined)
    return expiresInSeconds === undefined ? undefined : { afterMs: expiresInSeconds * 1_000 };
  const issue = { param: 'deadline', in: 'body' } as const;
  if (expiresInSeconds !== undefined)
    throw problem(400, 'command.bad_deadline', 'send deadline or expiresInSeconds, not both', issue);
  const parsed = parseTime(deadline);
  if ('problem' in parsed) throw problem(400, 'command.bad_deadline', `deadline ${parsed.problem}`, issue);
  return { deadlineMs: parsed.ms };
}

/** Text that is equal for equal requests. */
export function requestText(deviceId: string, body: CommandRequest): string {
  const { kind, setpointCelsius, mode, deadline, expiresInSeconds } = body;
  return JSON.stringify([
    deviceId,
    kind,
    setpointCelsius ?? null,
    mode ?? null,
    deadline ?? null,
    expiresInSeconds ?? null,
  ]);
}
