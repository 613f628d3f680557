/** The ports of the commands; adapters and the broker implement them. */
import type { CommandStatus } from '@thermomesh/contracts';
import type { Command, DueCommand, NewCommand } from './command.ts';
import type { Outcome } from './lifecycle.ts';

/** What became of a new command. */
export type AcceptResult =
  | {
      type: 'created' | 'exists';
      commandId: string;
      deviceId: string;
      request: string;
      deadlineMs: number;
    }
  | { type: 'queue_full' | 'deadline_too_soon' | 'deadline_too_late' };

/** Limits of new commands. */
export interface AcceptLimits {
  expiresMinMs: number;
  expiresMaxMs: number;
  /** Maximum number of open commands of one device. */
  openMax: number;
}

/** Which commands a list contains. */
export interface CommandFilter {
  deviceId: string;
  limit: number;
  /** Only rows with a lower id. */
  beforeId?: number;
  status?: CommandStatus;
}

/** What a device says of a command. */
export interface Acknowledgement {
  commandId: string;
  deviceId: string;
  outcome: Outcome;
  detail: string | null;
}

/** The truth about commands, in PostgreSQL. Each method is one statement. */
export interface CommandStore {
  /** Stores a command. Of all calls with one key of a caller, one creates. */
  accept(command: NewCommand, limits: AcceptLimits): Promise<AcceptResult>;
  /**
   * Marks the open commands of the devices as sent, the oldest first, except those whose deadline
   * has passed or passes within `marginMs`.
   */
  claim(deviceIds: readonly string[], marginMs: number): Promise<DueCommand[]>;
  /** The new status; undefined if the command is unknown, was never sent, or is acknowledged. */
  acknowledge(acknowledgement: Acknowledgement): Promise<CommandStatus | undefined>;
  /** Undefined if the command was final before or its deadline has passed. */
  cancel(deviceId: string, commandId: string): Promise<Command | undefined>;
  find(deviceId: string, commandId: string): Promise<Command | undefined>;
  /** The newest commands first. */
  list(filter: CommandFilter): Promise<Command[]>;
  /** The commands with these ids. */
  byIds(commandIds: readonly string[]): Promise<Command[]>;
  /** Devices with open commands that were stored in the last `ageMs`. */
  devicesWithNew(ageMs: number): Promise<string[]>;
  /** Makes commands final whose deadline has passed, and returns their number. */
  expire(rowsMax: number): Promise<number>;
  /** Removes final commands that are older, and returns their number. */
  forget(ageMs: number, rowsMax: number): Promise<number>;
  /** Number of open commands, and the age of the oldest one. */
  open(): Promise<{ count: number; oldestAgeMs: number }>;
}

/** The connections of the devices at this gateway. */
export interface DeviceLinks {
  /** True if the device is connected here and subscribes to its commands. */
  listens(deviceId: string): boolean;
  /**
   * Sends a command at QoS 1 to the present connections of the device; it is in no session and no
   * queue. A connection whose device has not confirmed it within `withinMs` is reset, so that
   * nothing that waits in its buffers arrives later (I9).
   * @returns the number of connections
   */
  send(deviceId: string, payload: Buffer, withinMs: number): number;
  /** Receives each device that begins to listen. */
  onListening(handler: (deviceId: string) => void): void;
  /** Receives each status message of a device. */
  onStatus(handler: (deviceId: string, payload: Buffer) => void): void;
}
