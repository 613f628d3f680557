/** The settings of an equalizer node; the only reader of the environment here. */
import { crashPoints, parseCrashPlan, readConfig, secretCharsMin } from '@thermomesh/runtime';
import { defaultMapReduceLimits, mapReduceLimitFaults, type MapReduceLimits } from '@thermomesh/mapreduce';
import Type, { type Static } from 'typebox';
import { chunkPixelsBounds } from './core/chunk-pixels.ts';
import { imageLimitsDefault, type ImageLimits } from './image/limits.ts';

const Ms = (initial: number, description: string, minimum = 1) =>
  Type.Integer({ default: initial, minimum, maximum: 2 ** 31 - 1, description });
const Count = (initial: number, maximum: number, description: string, minimum = 1) =>
  Type.Integer({ default: initial, minimum, maximum, description });
const addresses = '^[^,/\\s]+:\\d+(,[^,/\\s]+:\\d+)*$';
const path = '^(/[A-Za-z0-9_.-]+)+$';

const Settings = Type.Object({
  NODE_ID: Type.Integer({ minimum: 1, maximum: 99, description: 'this node' }),
  MESH_SECRET: Type.String({
    minLength: secretCharsMin,
    description: 'the secret that tokens and announcements are derived from',
  }),
  FLAVOUR: Type.String({
    default: 'node',
    pattern: '^[a-z0-9][a-z0-9-]{0,31}$',
    description: 'what this node says of itself besides its version',
  }),
  ZOOKEEPER_HOSTS: Type.String({ pattern: addresses, description: 'host:port,…' }),
  ZOOKEEPER_PATH: Type.String({
    default: '/thermomesh/equalizer',
    pattern: path,
    description: 'below it are jobs, roles and members of the equalizer',
  }),
  SERVICES_PATH: Type.String({
    default: '/thermomesh/services',
    pattern: path,
    description: 'below this node of ZooKeeper services list themselves',
  }),
  SESSION_TIMEOUT_MS: Ms(
    1_500,
    'how soon the roles of a dead node move; the server grants 2 to 20 ticks',
    200,
  ),
  HAND_OVER_TIMEOUT_MS: Ms(5_000, 'a task in flight may take so long when its partition moves'),
  KAFKA_BROKERS: Type.String({ pattern: addresses, description: 'host:port,…' }),
  KAFKA_TOPIC_PREFIX: Type.String({
    default: 'equalizer',
    pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$',
    description: 'topics are <prefix>.tasks and <prefix>.results',
  }),
  KAFKA_REPLICATION: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 9,
      description: 'copies of each record; by default 3, or the number of KAFKA_BROKERS if that is lower',
    }),
  ),
  KAFKA_RETENTION_MS: Ms(86_400_000, 'of task and result records: longer than a job takes', 60_000),
  KAFKA_CALL_DEADLINE_MS: Ms(
    60_000,
    'one call goes on trying so long; then it is logged and tried again',
    1_000,
  ),
  RECOVERY_DEADLINE_MS: Ms(60_000, 'a new coordinator reads the records at most so long, then begins anew'),
  TASK_PARTITIONS: Count(10, 1_000, 'of each topic; the same on every node, and kept'),
  BLOB_DIR: Type.String({ minLength: 1, description: 'a folder that all nodes share' }),
  BLOB_ORPHAN_AGE_MS: Ms(3_600_000, 'files of no job that are older are removed', 60_000),
  JANITOR_INTERVAL_MS: Ms(300_000, 'between two looks for files of no job'),
  HTTP_HOST: Type.String({ default: '127.0.0.1' }),
  HTTP_PORT: Type.Integer({ default: 8086, minimum: 0, maximum: 65535, description: '0 takes a free one' }),
  ANNOUNCED_HOST: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9:.-]+$',
      description: 'name or address at which callers reach this node; HTTP_HOST if left out',
    }),
  ),
  API_KEYS_FILE: Type.Optional(Type.String({ description: 'hashes of API keys (mesh api-key)' })),
  UPLOAD_BYTES_MAX: Type.Integer({
    default: 256 * 1024 * 1024,
    minimum: 1_024,
    description: 'of one uploaded file',
  }),
  PIXELS_MAX: Type.Integer({
    default: imageLimitsDefault.pixelsMax,
    minimum: 1,
    maximum: 2 ** 31 - 1,
    description: 'of an image that is read strip by strip',
  }),
  WHOLE_IMAGE_PIXELS_MAX: Type.Integer({
    default: imageLimitsDefault.wholeImagePixelsMax,
    minimum: 1,
    maximum: 2 ** 31 - 1,
    description: 'of an image that must be in memory as a whole, and of clahe',
  }),
  CHUNK_PIXELS: Type.Integer({
    default: 4_000_000,
    ...chunkPixelsBounds,
    description: 'of one chunk, as long as nothing else is published',
  }),
  WORKER_THREADS: Count(2, 64, 'image tasks at once on this node'),
  WORKER_QUEUE_MAX: Count(256, 10_000, 'image tasks that wait on this node'),
  TASK_TIMEOUT_MS: Ms(600_000, 'one image task; then its thread is ended'),
  JOB_RETENTION_MS: Ms(3_600_000, 'a job that is over is remembered so long, and its result kept'),
  JOBS_OPEN_MAX: Count(2_000, 10_000, 'jobs that are not over; more are refused'),
  JOBS_RUNNING_MAX: Count(defaultMapReduceLimits.runningJobsMax, 1_000, 'jobs that run at once; others wait'),
  JOBS_PER_CALLER_MAX: Count(500, 10_000, 'jobs of one caller that are not over; more are refused'),
  JOBS_REMEMBERED_MAX: Count(
    3_000,
    20_000,
    'jobs that are remembered, over or not; beyond, those that are over are forgotten before JOB_RETENTION_MS',
  ),
  TASKS_IN_FLIGHT_MAX: Count(
    defaultMapReduceLimits.tasksInFlightMax,
    10_000,
    'tasks of all jobs, not answered',
  ),
  STRAGGLER_TIMEOUT_MS: Ms(
    defaultMapReduceLimits.stragglerTimeoutMs,
    'a task without an answer is given to another partition then; doubles with each attempt',
  ),
  STRAGGLER_TIMEOUT_MAX_MS: Ms(
    defaultMapReduceLimits.stragglerTimeoutMaxMs,
    'the longest that it doubles to',
  ),
  STOP_TIMEOUT_MS: Ms(15_000, 'an orderly stop takes at most so long'),
  LOG_LEVEL: Type.String({ default: 'info' }),
  CRASH_POINT: Type.Optional(
    Type.String({ description: `tests only: name[:nth][:kill|stop], of ${crashPoints.join(', ')}` }),
  ),
  CRASH_WITNESS_FILE: Type.Optional(
    Type.String({ description: 'tests only: told when the crash point is hit' }),
  ),
});

export type Config = Static<typeof Settings>;

/** Reads and checks everything. @throws MeshError `config.invalid` with all faults */
export function readEqualizerConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return readConfig(Settings, env, relations);
}

/** Where callers reach this node; undefined if nobody has said it. */
export function announcedHost({ ANNOUNCED_HOST: announced, HTTP_HOST: host }: Config): string | undefined {
  return announced ?? (['0.0.0.0', '::'].includes(host) ? undefined : host);
}

/** The name of this node: in logs, in groups and at the brokers. */
export function nodeName({ NODE_ID: id }: Pick<Config, 'NODE_ID'>): string {
  return `equalizer-${id}`;
}

/** The limits of the protocol. */
export function mapReduceLimits(config: Config): MapReduceLimits {
  return {
    ...defaultMapReduceLimits,
    openJobsMax: config.JOBS_OPEN_MAX,
    runningJobsMax: config.JOBS_RUNNING_MAX,
    tasksInFlightMax: config.TASKS_IN_FLIGHT_MAX,
    taskPartitions: config.TASK_PARTITIONS,
    stragglerTimeoutMs: config.STRAGGLER_TIMEOUT_MS,
    stragglerTimeoutMaxMs: config.STRAGGLER_TIMEOUT_MAX_MS,
    retentionMs: config.JOB_RETENTION_MS,
  };
}

/** How large an image may be. */
export function imageLimits(config: Config): ImageLimits {
  return {
    ...imageLimitsDefault,
    fileBytesMax: config.UPLOAD_BYTES_MAX,
    pixelsMax: config.PIXELS_MAX,
    wholeImagePixelsMax: config.WHOLE_IMAGE_PIXELS_MAX,
  };
}

/** Copies of each record. */
export function kafkaReplication({ KAFKA_REPLICATION: given, KAFKA_BROKERS: brokers }: Config): number {
  const known = brokers.split(',').length;
  // Two copies that both must be there would stop at the first dead broker.
  return given ?? (known >= 3 ? 3 : 1);
}

function relations(config: Config): string[] {
  const faults = mapReduceLimitFaults(mapReduceLimits(config));
  if (announcedHost(config) === undefined)
    // Nobody can call "every address of this machine".
    faults.push(
      `HTTP_HOST ${config.HTTP_HOST} cannot be announced: ANNOUNCED_HOST must say where callers reach this`,
    );
  if (config.WHOLE_IMAGE_PIXELS_MAX > config.PIXELS_MAX)
    faults.push('WHOLE_IMAGE_PIXELS_MAX must not be above PIXELS_MAX');
  if (config.JOBS_PER_CALLER_MAX > config.JOBS_OPEN_MAX)
    faults.push('JOBS_PER_CALLER_MAX must not be above JOBS_OPEN_MAX');
  // A result shall outlive its end, however many others wait.
  if (config.JOBS_REMEMBERED_MAX <= config.JOBS_OPEN_MAX)
    faults.push('JOBS_REMEMBERED_MAX must be above JOBS_OPEN_MAX');
  // A successor rebuilds a running job from its records.
  if (config.KAFKA_RETENTION_MS <= config.STRAGGLER_TIMEOUT_MAX_MS)
    faults.push('KAFKA_RETENTION_MS must be above STRAGGLER_TIMEOUT_MAX_MS');
  // What is under way at a stop is finished first.
  if (config.HAND_OVER_TIMEOUT_MS >= config.STOP_TIMEOUT_MS)
    faults.push('HAND_OVER_TIMEOUT_MS must be below STOP_TIMEOUT_MS');
  try {
    parseCrashPlan(config.CRASH_POINT);
  } catch (error) {
    faults.push(`CRASH_POINT: ${(error as Error).message}`);
  }
  return faults;
}
