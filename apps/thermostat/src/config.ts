/** Arguments and environment of both programs: schema, limits, relations; the only reader of `process.env`. */
import { isDeviceId } from '@thermomesh/contracts';
import { MeshError, messageOf, readConfig, secretCharsMin } from '@thermomesh/runtime';
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import Type, { type TObject } from 'typebox';
import { packetIdMax } from './core/in-flight.ts';
import type { LoadOptions } from './load/service.ts';
import type { SimulateOptions } from './simulate/service.ts';

/** Half of the packet ids: an id must not come round again while it is in flight. */
const windowMax = Math.floor(packetIdMax / 2);
const int = (minimum: number, maximum: number, fallback: number) =>
  Type.Integer({ minimum, maximum, default: fallback });
const number = (minimum: number, maximum: number, fallback: number) =>
  Type.Number({ minimum, maximum, default: fallback });
const ratio = () => Type.Number({ minimum: 0, maximum: 0.9, default: 0 });
const day = 86_400;
/** A week of one reading a minute. */
const backfillMinutesMax = 7 * 24 * 60;

const Common = {
  MESH_SECRET: Type.String({
    minLength: secretCharsMin,
    description: 'secret of the mesh; also MESH_SECRET_FILE or --secret-file',
  }),
  'mqtt-url': Type.String({ pattern: '^mqtt://[^/:@]+(:[0-9]{1,5})?/?$', description: 'mqtt://host:port' }),
};

const LoadSchema = Type.Object({
  ...Common,
  devices: int(1, 50_000, 100),
  rate: number(0.01, 1_000_000, 1000),
  seconds: number(0.1, 7 * day, 10),
  qos: int(0, 1, 1),
  window: int(1, windowMax, 20),
  burst: int(1, 1000, 1),
  skew: number(0, day, 0),
  'offline-ratio': ratio(),
  'backfill-minutes': int(0, backfillMinutesMax, 0),
  'storm-seconds': number(0, 3600, 0),
  'poison-ratio': ratio(),
  'ack-timeout-seconds': number(0, day, 60),
  'connect-timeout-seconds': number(0.1, day, 30),
  'run-id': Type.String({ pattern: '^[a-z0-9]{1,24}$', default: '' }),
  seed: Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1, default: 0 }),
  ledger: Type.String({ minLength: 1 }),
  name: Type.String({ default: '' }),
  json: Type.Boolean({ default: false }),
});

const SimulateSchema = Type.Object({
  ...Common,
  LOG_LEVEL: Type.String({ pattern: '^(trace|debug|info|warn|error|fatal|silent)$', default: 'info' }),
  devices: int(1, 10_000, 20),
  prefix: Type.String({ default: 'room' }),
  state: Type.String({ minLength: 1 }),
  'interval-seconds': number(0.01, day, 5),
  window: int(1, windowMax, 20),
  'kept-readings-max': int(1, 1_000_000, 10_000),
  skew: number(0, day, 0),
  'drift-ppm': number(0, 100_000, 0),
  'offline-ratio': ratio(),
  'offline-seconds': number(0.1, day, 60),
  'stop-timeout-seconds': number(0, 3600, 5),
  seed: Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1, default: 1 }),
});

/** @throws MeshError `config.invalid` that lists every fault */
export function loadConfig(args: string[], env = process.env): LoadOptions & { json: boolean } {
  const given = argumentsOf(LoadSchema, args, env, {
    'run-id': randomBytes(4).toString('hex'),
    seed: String(randomBytes(4).readUInt32BE() >>> 1),
  });
  const config = readConfig(LoadSchema, given, (c) => [
    ...(c.burst > c.window ? [`burst ${c.burst} must not exceed window ${c.window}`] : []),
    ...(c['poison-ratio'] > 0 && c.qos === 0
      ? ['poison-ratio needs qos 1: what is not acknowledged proves nothing']
      : []),
    ...(c['storm-seconds'] > c.seconds
      ? [`storm-seconds ${c['storm-seconds']} must not exceed seconds ${c.seconds}`]
      : []),
    ...(c['storm-seconds'] > 0 && c['offline-ratio'] > 0
      ? ['storm-seconds and offline-ratio exclude each other: both say when a device connects']
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

/** @throws MeshError `config.invalid` that lists every fault */
export function simulateConfig(args: string[], env = process.env): SimulateOptions & { logLevel: string } {
  const config = readConfig(SimulateSchema, argumentsOf(SimulateSchema, args, env), (c) => [
    ...(isDeviceId(`${c.prefix}-${c.devices}`) ? [] : [`prefix "${c.prefix}" makes no device ids`]),
    ...(c['kept-readings-max'] < c.window ? [`kept-readings-max must not be below window ${c.window}`] : []),
  ]);
  return {
    ...addressOf(config['mqtt-url']),
    secret: config.MESH_SECRET,
    devices: config.devices,
    prefix: config.prefix,
    stateFile: config.state,
    intervalMs: config['interval-seconds'] * 1000,
    window: config.window,
    keptReadingsMax: config['kept-readings-max'],
    skewMs: config.skew * 1000,
    driftPpm: config['drift-ppm'],
    offlineRatio: config['offline-ratio'],
    offlineMs: config['offline-seconds'] * 1000,
    stopTimeoutMs: config['stop-timeout-seconds'] * 1000,
    seed: config.seed,
    logLevel: config.LOG_LEVEL,
  };
}

/** Arguments and environment as one record, for the schema; `--help` lists what there is. */
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
    throw new MeshError('config.invalid', messageOf(error), { cause: error });
  }
  if (values['help'] === true) throw new MeshError('config.help', usageOf(schema, names));
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

function usageOf(schema: TObject, names: string[]): string {
  const lines = names.map((name) => {
    const { default: fallback } = schema.properties[name] as { default?: string | number | boolean };
    return `  --${name}${fallback === undefined ? ' (required)' : fallback === '' ? '' : ` (default ${fallback})`}`;
  });
  return [
    'arguments (apps/thermostat/README.md explains them):',
    ...lines,
    '  --secret-file (default: MESH_SECRET)',
  ].join('\n');
}

function addressOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: port === '' ? 1883 : Number(port) };
}
