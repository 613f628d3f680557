/**
 * Commands to devices: requests and answers of the gateway, and the messages at the device (I9).
 */
import Type, { type Static } from 'typebox';
import { isDocument } from './check.ts';
import { Count, Nullable } from './schema-parts.ts';

/** What a device can be asked to do. */
export const commandKinds = ['setpoint', 'mode', 'reboot'] as const;
export type CommandKind = (typeof commandKinds)[number];

/** `heat` holds the last setpoint, `off` never heats, `auto` follows the device's own schedule. */
export const commandModes = ['heat', 'off', 'auto'] as const;
export type CommandMode = (typeof commandModes)[number];

/** Bounds of a setpoint, in °C. */
export const setpointCelsiusMin = 5;
export const setpointCelsiusMax = 35;

const Setpoint = Type.Number({
  minimum: setpointCelsiusMin,
  maximum: setpointCelsiusMax,
  description: 'Of kind setpoint only: the temperature to hold, in °C.',
  examples: [21.5],
});
const Mode = Type.Enum([...commandModes], {
  description:
    'Of kind mode only. heat holds the last setpoint, off never heats, auto follows the device’s own schedule.',
});
const Kind = Type.Enum([...commandKinds], { description: 'What the device must do.' });

/** Body of `POST /v1/devices/:deviceId/commands`. */
export const CommandRequest = Type.Object(
  {
    kind: Kind,
    setpointCelsius: Type.Optional(Setpoint),
    mode: Type.Optional(Mode),
    deadline: Type.Optional(
      Type.String({
        maxLength: 40,
        description:
          'ISO 8601 with an offset: the command is never delivered after this time. Not together with expiresInSeconds.',
        examples: ['2026-11-05T18:00:00Z'],
      }),
    ),
    expiresInSeconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 31_536_000,
        description: 'Time until the deadline, in seconds. The default is a setting of the gateway.',
        examples: [600],
      }),
    ),
  },
  {
    additionalProperties: false,
    example: { kind: 'setpoint', setpointCelsius: 21.5, expiresInSeconds: 600 },
  },
);
export type CommandRequest = Static<typeof CommandRequest>;

/** The statuses; `accepted` and `sent` are open, the others are final. */
export const commandStatuses = ['accepted', 'sent', 'done', 'failed', 'expired', 'cancelled'] as const;
export type CommandStatus = (typeof commandStatuses)[number];

const Status = Type.Enum([...commandStatuses], {
  description:
    'accepted: stored, not yet sent. sent: sent at least once, not acknowledged. done, failed: acknowledged by the device. expired: the deadline has passed. cancelled: by a caller.',
});

/** Body of the 202: the same bytes for every call with the same key. */
export const CommandAccepted = Type.Object(
  {
    commandId: Type.String({ description: 'UUID of the command.' }),
    deviceId: Type.String(),
    status: Type.Literal('accepted'),
    deadline: Type.String({ description: 'ISO 8601.' }),
    statusUrl: Type.String({ description: 'Path at the same host.' }),
  },
  {
    examples: [
      {
        commandId: '0b7e4a53-6c1d-4a8e-9a53-0f4f3a0c2f11',
        deviceId: 'room-1',
        status: 'accepted',
        deadline: '2026-11-05T18:00:00.000Z',
        statusUrl: '/v1/devices/room-1/commands/0b7e4a53-6c1d-4a8e-9a53-0f4f3a0c2f11',
      },
    ],
  },
);
export type CommandAccepted = Static<typeof CommandAccepted>;

/** What the device said of a command, also if it said so too late to change the status. */
export const CommandAcknowledgement = Type.Object({
  status: Type.Enum(['done', 'failed']),
  detail: Nullable(Type.String()),
  at: Type.String({ description: 'ISO 8601, when the mesh stored it.' }),
});

/** `GET /v1/devices/:deviceId/commands/:commandId`, and the data of its events. */
export const CommandView = Type.Object(
  {
    commandId: Type.String(),
    deviceId: Type.String(),
    kind: Kind,
    setpointCelsius: Type.Optional(Setpoint),
    mode: Type.Optional(Mode),
    status: Status,
    createdAt: Type.String({ description: 'ISO 8601.' }),
    deadline: Type.String({ description: 'ISO 8601.' }),
    deliveries: Type.Integer({
      minimum: 0,
      description: 'How often it was given to a connection of the device. Above 0 it may have been obeyed.',
    }),
    firstSentAt: Type.Optional(Type.String({ description: 'ISO 8601.' })),
    lastSentAt: Type.Optional(Type.String({ description: 'ISO 8601.' })),
    finalAt: Type.Optional(Type.String({ description: 'ISO 8601.' })),
    acknowledgement: Type.Optional(CommandAcknowledgement),
  },
  {
    examples: [
      {
        commandId: '0b7e4a53-6c1d-4a8e-9a53-0f4f3a0c2f11',
        deviceId: 'room-1',
        kind: 'setpoint',
        setpointCelsius: 21.5,
        status: 'done',
        createdAt: '2026-11-05T17:50:00.000Z',
        deadline: '2026-11-05T18:00:00.000Z',
        deliveries: 1,
        firstSentAt: '2026-11-05T17:50:00.031Z',
        lastSentAt: '2026-11-05T17:50:00.031Z',
        finalAt: '2026-11-05T17:50:00.064Z',
        acknowledgement: { status: 'done', detail: null, at: '2026-11-05T17:50:00.064Z' },
      },
    ],
  },
);
export type CommandView = Static<typeof CommandView>;

/** Body of `GET /v1/devices/:deviceId/commands`: newest first. */
export const CommandPage = Type.Object({ items: Type.Array(CommandView), next: Nullable(Type.String()) });
export type CommandPage = Static<typeof CommandPage>;

/**
 * Payload of `thermostat/command/<deviceId>`, at QoS 1. The same `commandId` may come several
 * times: the device obeys it once, and acknowledges it each time.
 */
export const CommandMessage = Type.Object({
  commandId: Type.String(),
  kind: Kind,
  setpointCelsius: Type.Optional(Setpoint),
  mode: Type.Optional(Mode),
  /** Unix time in milliseconds, the clock of the mesh. */
  deadlineMs: Count,
  /** Time left at the moment of sending, in milliseconds, for a device whose clock is off. */
  expiresInMs: Count,
});
export type CommandMessage = Static<typeof CommandMessage>;

/** Payload by which a device acknowledges a command on `thermostat/status/<deviceId>`, at QoS 1. */
export const CommandReply = Type.Object({
  commandId: Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
  status: Type.Enum(['done', 'failed']),
  detail: Type.Optional(Nullable(Type.String())),
});
export type CommandReply = Static<typeof CommandReply>;

/** Maximum size of a reply, in bytes, and of the detail that is kept, in characters. */
export const commandReplyBytesMax = 4_096;
export const commandDetailCharsMax = 500;

/** Reads a status message; undefined if it acknowledges no command. */
export function parseCommandReply(payload: Buffer): CommandReply | undefined {
  return parse(payload, CommandReply);
}

/** Reads a command at the device; undefined if it is none. */
export function parseCommandMessage(payload: Buffer): CommandMessage | undefined {
  return parse(payload, CommandMessage);
}

function parse<S extends typeof CommandReply | typeof CommandMessage>(
  payload: Buffer,
  schema: S,
): Static<S> | undefined {
  if (payload.length > commandReplyBytesMax) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch {
    return undefined;
  }
  return isDocument(schema, value) ? value : undefined;
}
