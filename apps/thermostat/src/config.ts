/**
 * The arguments of both programs: schema, bounds and cross-checks. No other file of the package
 * reads the environment.
 */
import { mayNameDevice } from '@thermomesh/contracts';
import { messageOf, readConfig, secret } from '@thermomesh/runtime';
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import Type, { type TObject, type TStringOptions } from 'typebox';
import { thermostatError } from './core/errors.ts';
import { packetIdMax } from './core/in-flight.ts';
import type { LoadOptions } from './load/service.ts';
import type { SimulateOptions } from './simulate/service.ts';

/** Half of the packet ids, so that no id is used again while it is in flight. */
const windowMax = Math.floor(packetIdMax / 2);
const int = (minimum: number, maximum: number, fallback: number, description: string) =>
  Type.Integer({ minimum, maximum, default: fallback, description });
const number = (minimum: number, maximum: number, fallback: number, description: string) =>
  Type.Number({ minimum, maximum, default: fallback, description });
const text = (description: string, options: TStringOptions = {}) => Type.String({ ...options, description });
const day = 86_400;
/** One reading per minute for a week. */
const backfillMinutesMax = 7 * 24 * 60;
const seedMax = 2 ** 31 - 1;
/** About five minutes of 20 devices; a smaller ledger would hardly be evidence. */
const ledgerBytesMin = 64 * 1024;
/** About two days of 20 devices with a reading every 5 s. */
const ledgerBytesDefault = 32 * 1024 * 1024;

const Common = {
  MESH_SECRET: secret('Secret of the mesh; may also be given by MESH_SECRET_FILE or --secret-file.'),
  'mqtt-url': text('MQTT address of the gateway, as mqtt://host:port.', {
    pattern: '^mqtt://[^/:@]+(:[0-9]{1,5})?/?$',
  }),
  window: int(1, windowMax, 20, 'Maximum number of unacknowledged messages per device.'),
  skew: number(0, day, 0, 'Maximum clock error of a device in seconds, in either direction.'),
  'offline-ratio': number(0, 0.9, 0, 'Share of the time during which each device is offline.'),
};

const LoadSchema = Type.Object({
  ...Common,
  devices: int(1, 50_000, 100, 'Number of devices; each has one connection.'),
  rate: number(0.01, 1_000_000, 1000, 'Readings per second over all devices.'),
  seconds: number(0.1, 7 * day, 10, 'How long new readings are sent.'),
  qos: int(0, 1, 1, 'QoS of the readings, 0 or 1.'),
  burst: int(1, 1000, 1, 'Number of readings that a device sends at once.'),
  'backfill-minutes': int(
    0,
    backfillMinutesMax,
    0,
    'Each device starts with the readings of this many offline minutes.',
  ),
  'storm-seconds': number(0, 3600, 0, 'All devices connect within this time; 0: before the first one sends.'),
  'poison-ratio': number(0, 0.9, 0, 'Share of messages that must be rejected; needs --qos 1.'),
  'ack-timeout-seconds': number(0, day, 60, 'Maximum wait for acknowledgements after the last reading.'),
  'connect-timeout-seconds': number(0.1, day, 30, 'Maximum wait for the first connection of every device.'),
  'run-id': text('Id of the run, random by default; devices are load-<id>-<n>.', {
    pattern: '^[a-z0-9]{1,24}$',
    default: '',
  }),
  seed: int(0, seedMax, 0, 'Seed of values, skews and offline phases; random by default.'),
  ledger: text('Folder of the ledger; the file is <folder>/<id>.ledger.', { minLength: 1 }),
  name: text("Name of the mesh, for the ledger's header.", { default: '' }),
  json: Type.Boolean({ default: false, description: 'Print the summary as one JSON document.' }),
});

const SimulateSchema = Type.Object({
  ...Common,
  LOG_LEVEL: text('Lowest level that is logged.', {
    pattern: '^(trace|debug|info|warn|error|fatal|silent)$',
    default: 'info',
  }),
  devices: int(1, 10_000, 20, 'Number of rooms with one thermostat each.'),
  prefix: text('First part of the device ids.', { default: 'room' }),
  state: text('State file of this fleet.', { minLength: 1 }),
  reset: Type.Boolean({
    default: false,
    description: 'Every device has lost its memory: it takes the next incarnation and counts from 0 again.',
  }),
  'interval-seconds': number(0.01, day, 5, 'Time between two readings of a device.'),
  'kept-readings-max': int(
    1,
    1_000_000,
    10_000,
    'Maximum number of readings that a device keeps while it cannot send.',
  ),
  'drift-ppm': number(0, 100_000, 0, 'Maximum clock drift of a device in millionths.'),
  'offline-seconds': number(0.1, day, 60, 'Duration of an offline period.'),
  'stop-timeout-seconds': number(0, 3600, 5, 'Maximum wait of a graceful shutdown for acknowledgements.'),
  seed: int(0, seedMax, 1, 'Seed of rooms, clocks and offline phases.'),
  ledger: text('Folder in which the fleet keeps what it sent and saw acknowledged; none without it.', {
    default: '',
  }),
  'ledger-bytes-max': int(
    ledgerBytesMin,
    2 ** 40,
    ledgerBytesDefault,
    'Maximum size of the ledger; above it the fleet removes the oldest part.',
  ),
  name: text("Name of the mesh, for the ledger's header.", { default: '' }),
});

/**
 * Reads the arguments of `load`.
 * @throws MeshError `config.invalid` that lists every issue; `config.help` for `--help`
 */
export function loadConfig(args: string[], env = process.env): LoadOptions & { json: boolean } {
  const given = argumentsOf(LoadSchema, args, env, {
    'run-id': randomBytes(4).toString('hex'),
    seed: String(randomBytes(4).readUInt32BE() >>> 1),
  });
  const config = readConfig(LoadSchema, given, (c) => [
    ...(c.burst > c.window ? [`burst ${c.burst} must not exceed window ${c.window}`] : []),
    ...(c['poison-ratio'] > 0 && c.qos === 0
      ? ['poison-ratio needs qos 1: only acknowledged messages prove anything']
      : []),
    ...(c['storm-seconds'] > c.seconds
      ? [`storm-seconds ${c['storm-seconds']} must not exceed seconds ${c.seconds}`]
      : []),
    ...(c['storm-seconds'] > 0 && c['offline-ratio'] > 0
      ? ['storm-seconds and offline-ratio exclude each other: both decide when a device connects']
      : []),
  ]);
  return {
    ...addressOf(config['mqtt-url']),
    secret: config.MESH_SECRET,
    devices: config.devices,
    rate: config.rate,
    seconds: config.seconds,
    qos: config.qos === 0 ? 0 : 1,
    window: config.window,
    burst: config.burst,
    skewSeconds: config.skew,
    offlineRatio: config['offline-ratio'],
    backfillMinutes: config['backfill-minutes'],
    stormSeconds: config['storm-seconds'],
    poisonRatio: config['poison-ratio'],
    ackTimeoutMs: config['ack-timeout-seconds'] * 1000,
    connectTimeoutMs: config['connect-timeout-seconds'] * 1000,
    runId: config['run-id'],
    seed: config.seed,
    ledgerFolder: config.ledger,
    mesh: config.name,
    json: config.json,
  };
}

/**
 * Reads the arguments of `simulate`.
 * @throws MeshError `config.invalid` that lists every issue; `config.help` for `--help`
 */
export function simulateConfig(args: string[], env = process.env): SimulateOptions & { logLevel: string } {
  const config = readConfig(SimulateSchema, argumentsOf(SimulateSchema, args, env), (c) => [
    ...(mayNameDevice(`${c.prefix}-${c.devices}`) ? [] : [`prefix "${c.prefix}" makes no device ids`]),
    ...(c['kept-readings-max'] < c.window ? [`kept-readings-max must not be below window ${c.window}`] : []),
  ]);
  return {
    ...addressOf(config['mqtt-url']),
    secret: config.MESH_SECRET,
    devices: config.devices,
    prefix: config.prefix,
    stateFile: config.state,
    reset: config.reset,
    intervalMs: config['interval-seconds'] * 1000,
    window: config.window,
    keptReadingsMax: config['kept-readings-max'],
    skewMs: config.skew * 1000,
    driftPpm: config['drift-ppm'],
    offlineRatio: config['offline-ratio'],
    offlineMs: config['offline-seconds'] * 1000,
    stopTimeoutMs: config['stop-timeout-seconds'] * 1000,
    seed: config.seed,
    ledgerFolder: config.ledger === '' ? undefined : config.ledger,
    ledgerBytesMax: config['ledger-bytes-max'],
    mesh: config.name,
    logLevel: config.LOG_LEVEL,
  };
}

/** Returns arguments and environment as one record for the schema. */
function argumentsOf(
  schema: TObject,
  args: string[],
  env: NodeJS.ProcessEnv,
  defaults: Record<string, string> = {},
): NodeJS.ProcessEnv {
  const names = Object.keys(schema.properties).filter((name) => name === name.toLowerCase());
  const isFlag = (name: string) => Type.IsBoolean(schema.properties[name]);
  const options = Object.fromEntries(
    [...names, 'secret-file', 'help'].map((name) => {
      return [name, { type: isFlag(name) || name === 'help' ? ('boolean' as const) : ('string' as const) }];
    }),
  );
  let values: Record<string, unknown>;
  try {
    ({ values } = parseArgs({ args, options, strict: true, allowPositionals: false }));
  } catch (error) {
    throw thermostatError('config.invalid', messageOf(error), { cause: error });
  }
  if (values['help'] === true) throw thermostatError('config.help', usageOf(schema, names));
  const record: NodeJS.ProcessEnv = { ...defaults };
  for (const name of ['MESH_SECRET', 'MESH_SECRET_FILE', 'LOG_LEVEL']) record[name] = env[name];
  for (const name of names) {
    const value = values[name];
    if (typeof value === 'string' || typeof value === 'boolean') record[name] = String(value);
  }
  const secretFile = values['secret-file'];
  if (typeof secretFile === 'string') {
    delete record['MESH_SECRET'];
    record['MESH_SECRET_FILE'] = secretFile;
  }
  return record;
}

/** Returns the help text: every argument with its default and its description. */
function usageOf(schema: TObject, names: string[]): string {
  const lines = names.map((name) => {
    const { default: fallback, description = '' } = schema.properties[name] as {
      default?: string | number | boolean;
      description?: string;
    };
    const note = fallback === undefined ? ' (required)' : fallback === '' ? '' : ` (default ${fallback})`;
    return [`--${name}${note}`, description] as const;
  });
  lines.push(['--secret-file (default: MESH_SECRET)', 'File with the secret of the mesh.']);
  const width = Math.max(...lines.map(([argument]) => argument.length));
  return [
    'arguments (apps/thermostat/README.md explains them):',
    ...lines.map(([argument, description]) => `  ${argument.padEnd(width)}  ${description}`),
  ].join('\n');
}

function addressOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: port === '' ? 1883 : Number(port) };
}
