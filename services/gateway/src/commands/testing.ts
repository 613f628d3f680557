/** Commands for tests. */
import { randomUUID } from 'node:crypto';
import type { NewCommand } from './core/command.ts';
import type { AcceptLimits } from './core/ports.ts';

/** Limits that no test reaches by accident. */
export const roomyLimits: AcceptLimits = { expiresMinMs: 1, expiresMaxMs: 86_400_000, openMax: 1_000 };

/** A command with new random ids, which expires in an hour. */
export function newCommand(more: Partial<NewCommand> = {}): NewCommand {
  return {
    commandId: randomUUID(),
    deviceId: `room-${randomUUID()}`,
    caller: 'key:1',
    callerKey: randomUUID(),
    request: '[]',
    kind: 'reboot',
    setpointCelsius: null,
    mode: null,
    expiry: { afterMs: 3_600_000 },
    ...more,
  };
}
