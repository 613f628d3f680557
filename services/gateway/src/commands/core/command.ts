/** One command: what the gateway stores, what callers see, and what the device gets. */
import type {
  CommandAccepted,
  CommandKind,
  CommandMessage,
  CommandMode,
  CommandStatus,
  CommandView,
} from '@thermomesh/contracts';
import type { Outcome } from './lifecycle.ts';

/** What is asked of a device. */
export interface Order {
  kind: CommandKind;
  setpointCelsius: number | null;
  mode: CommandMode | null;
}

/** When a command expires: at a time, or a number of ms after it was stored. */
export type Expiry = { deadlineMs: number } | { afterMs: number };

/** A command before it is stored. */
export interface NewCommand extends Order {
  commandId: string;
  deviceId: string;
  caller: string;
  /** The Idempotency-Key, unique per caller. */
  callerKey: string;
  /** Text that is equal for equal requests. */
  request: string;
  expiry: Expiry;
}

/** One row. Times are Unix ms of the database's clock. */
export interface Command extends Order {
  /** Position in lists, and their cursor. */
  id: number;
  commandId: string;
  deviceId: string;
  /** `expired` from the deadline on, also before the row has this status. */
  status: CommandStatus;
  createdAtMs: number;
  deadlineMs: number;
  deliveries: number;
  firstSentAtMs: number | null;
  lastSentAtMs: number | null;
  finalAtMs: number | null;
  outcome: Outcome | null;
  detail: string | null;
  acknowledgedAtMs: number | null;
}

/** A command that may be sent now. */
export interface DueCommand extends Order {
  commandId: string;
  deviceId: string;
  deliveries: number;
  deadlineMs: number;
  /** Time to the deadline when the database marked it, in ms. */
  remainingMs: number;
}

const iso = (ms: number) => new Date(ms).toISOString();

/** The document of a command. */
export function viewOf(command: Command): CommandView {
  const { commandId, deviceId, status, deliveries, detail } = command;
  return {
    commandId,
    deviceId,
    ...orderOf(command),
    status,
    createdAt: iso(command.createdAtMs),
    deadline: iso(command.deadlineMs),
    deliveries,
    ...(command.firstSentAtMs === null ? {} : { firstSentAt: iso(command.firstSentAtMs) }),
    ...(command.lastSentAtMs === null ? {} : { lastSentAt: iso(command.lastSentAtMs) }),
    ...(command.finalAtMs === null ? {} : { finalAt: iso(command.finalAtMs) }),
    ...(command.outcome === null || command.acknowledgedAtMs === null
      ? {}
      : { acknowledgement: { status: command.outcome, detail, at: iso(command.acknowledgedAtMs) } }),
  };
}

/** The body of the 202: the same for every call with one key. */
export function acceptedOf(deviceId: string, commandId: string, deadlineMs: number): CommandAccepted {
  return {
    commandId,
    deviceId,
    status: 'accepted',
    deadline: iso(deadlineMs),
    statusUrl: statusUrlOf(deviceId, commandId),
  };
}

export function statusUrlOf(deviceId: string, commandId: string): string {
  return `/v1/devices/${deviceId}/commands/${commandId}`;
}

/** The payload for the device. */
export function messageOf(command: DueCommand, expiresInMs: number): CommandMessage {
  return {
    commandId: command.commandId,
    ...orderOf(command),
    deadlineMs: command.deadlineMs,
    expiresInMs: Math.floor(expiresInMs),
  };
}

function orderOf({ kind, setpointCelsius, mode }: Order) {
  return {
    kind,
    ...(setpointCelsius === null ? {} : { setpointCelsius }),
    ...(mode === null ? {} : { mode }),
  };
}
