/** The settings of an equalizer node; the only reader of the environment in this service. */
import {
  announcedHost,
  announcedHostIssues,
  announcedHostSettings,
  count,
  crashPlanIssues,
  hostList,
  ms,
  port,
  readConfig,
  serviceSettings,
  znodePath,
} from '@thermomesh/runtime';
import { defaultMapReduceLimits, mapReduceLimitIssues, type MapReduceLimits } from '@thermomesh/mapreduce';
import Type, { type Static } from 'typebox';
import { chunkPixelsBounds } from './core/chunk-pixels.ts';
import { imageLimitsDefault, type ImageLimits } from './image/limits.ts';

const timerMaxMs = 2 ** 31 - 1;
const pixelsMax = 2 ** 31 - 1;
const duration = (initial: number, description: string, minimum = 1) =>
  ms(initial, description, { minimum, maximum: timerMaxMs });

const Settings = Type.Object({
  ...serviceSettings,
  ...announcedHostSettings,
  HTTP_PORT: port(8086),
  STOP_TIMEOUT_MS: duration(15_000, 'Maximum duration of a graceful shutdown.'),
  NODE_ID: Type.Integer({ minimum: 1, maximum: 99, description: 'Number of this node.' }),
  FLAVOUR: Type.String({
    default: 'node',
    pattern: '^[a-z0-9][a-z0-9-]{0,31}$',
    description: 'Label of this node in the list of members, beside its version.',
  }),
  ZOOKEEPER_HOSTS: hostList('ZooKeeper servers, as host:port,host:port,….'),
  ZOOKEEPER_PATH: znodePath(
    '/thermomesh/equalizer',
    'ZooKeeper node below which the equalizer keeps jobs, roles and members.',
  ),
  SERVICES_PATH: znodePath(
    '/thermomesh/services',
    'ZooKeeper node below which services announce themselves.',
  ),
  SESSION_TIMEOUT_MS: duration(
    1_500,
    'ZooKeeper session timeout: the time until the roles of a dead node move. The server grants 2 to 20 of its ticks.',
    200,
  ),
  HAND_OVER_TIMEOUT_MS: duration(
    5_000,
    'Time that a task in flight has to finish when its partition moves to another node.',
  ),
  KAFKA_BROKERS: hostList('Kafka brokers, as host:port,host:port,….'),
  KAFKA_TOPIC_PREFIX: Type.String({
    default: 'equalizer',
    pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$',
    description: 'Prefix of the topics <prefix>.tasks and <prefix>.results.',
  }),
  KAFKA_REPLICATION: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 9,
      description: 'Copies of each record. Default: 3, or 1 if KAFKA_BROKERS names fewer than three.',
    }),
  ),
  KAFKA_RETENTION_MS: duration(
    86_400_000,
    'Retention of task and result records; must be longer than any job takes.',
    60_000,
  ),
  KAFKA_CALL_DEADLINE_MS: duration(
    60_000,
    'Time limit of one Kafka call; on expiry it is logged and repeated.',
    1_000,
  ),
  RECOVERY_DEADLINE_MS: duration(
    60_000,
    'Time limit for replaying records after an election; on expiry the replay restarts.',
  ),
  TASK_PARTITIONS: count(10, 'Partitions of each topic. Must be equal on every node and never change.', {
    maximum: 1_000,
  }),
  BLOB_DIR: Type.String({ minLength: 1, description: 'Folder for blobs that all nodes share.' }),
  BLOB_ORPHAN_AGE_MS: duration(3_600_000, 'Files without a job are removed when they are older.', 60_000),
  JANITOR_INTERVAL_MS: duration(300_000, 'Time between two searches for files without a job.'),
  UPLOAD_BYTES_MAX: Type.Integer({
    default: 256 * 1024 * 1024,
    minimum: 1_024,
    description: 'Maximum size of one uploaded file.',
  }),
  PIXELS_MAX: count(imageLimitsDefault.pixelsMax, 'Maximum pixels of an image that is read strip by strip.', {
    maximum: pixelsMax,
  }),
  WHOLE_IMAGE_PIXELS_MAX: count(
    imageLimitsDefault.wholeImagePixelsMax,
    'Maximum pixels of an image that must be in memory as a whole, and of clahe.',
    { maximum: pixelsMax },
  ),
  CHUNK_PIXELS: count(4_000_000, 'Pixels of one chunk, unless another value is published in ZooKeeper.', {
    ...chunkPixelsBounds,
  }),
  WORKER_THREADS: count(2, 'Image tasks that run at once on this node.', { maximum: 64 }),
  WORKER_QUEUE_MAX: count(256, 'Image tasks that may wait for a thread on this node.', { maximum: 10_000 }),
  TASK_TIMEOUT_MS: duration(600_000, 'Time limit of one image task; on expiry its thread is terminated.'),
  JOB_RETENTION_MS: duration(3_600_000, 'Time for which a job that is over and its result are kept.'),
  JOBS_OPEN_MAX: count(2_000, 'Maximum number of jobs that are not over; more are refused.', {
    maximum: 10_000,
  }),
  JOBS_RUNNING_MAX: count(
    defaultMapReduceLimits.runningJobsMax,
    'Jobs that run at once, on all nodes together; the others wait.',
    { maximum: 1_000 },
  ),
  JOBS_PER_CALLER_MAX: count(
    500,
    'Maximum number of jobs of one caller that are not over; more are refused.',
    {
      maximum: 10_000,
    },
  ),
  JOBS_REMEMBERED_MAX: count(
    3_000,
    'Jobs that are kept, over or not. Beyond it, jobs that are over are forgotten before JOB_RETENTION_MS.',
    { maximum: 20_000 },
  ),
  TASKS_IN_FLIGHT_MAX: count(
    defaultMapReduceLimits.tasksInFlightMax,
    'Maximum number of tasks without an answer, of all jobs together.',
    { maximum: 10_000 },
  ),
  STRAGGLER_TIMEOUT_MS: duration(
    defaultMapReduceLimits.stragglerTimeoutMs,
    'Time after which a task without an answer is sent to another partition; doubles with each attempt.',
  ),
  STRAGGLER_TIMEOUT_MAX_MS: duration(
    defaultMapReduceLimits.stragglerTimeoutMaxMs,
    'Upper bound of the doubled STRAGGLER_TIMEOUT_MS.',
  ),
});

export type Config = Static<typeof Settings>;

/** Reads and checks all settings. @throws MeshError `config.invalid` with all issues */
export function readEqualizerConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return readConfig(Settings, env, crossChecks);
}

/** The name of this node: in logs, in groups and at the brokers. */
export function nodeName({ NODE_ID: id }: Pick<Config, 'NODE_ID'>): string {
  return `equalizer-${id}`;
}

export type EqualizerSettings = ReturnType<typeof settingsOf>;

/** Groups the settings by the part of the node that uses them. */
export function settingsOf(config: Config) {
  return {
    nodeId: config.NODE_ID,
    nodeName: nodeName(config),
    flavour: config.FLAVOUR,
    secret: config.MESH_SECRET,
    blobFolder: config.BLOB_DIR,
    crash: { point: config.CRASH_POINT, witnessFile: config.CRASH_WITNESS_FILE },
    zookeeper: {
      hosts: config.ZOOKEEPER_HOSTS,
      root: config.ZOOKEEPER_PATH,
      servicesPath: config.SERVICES_PATH,
      sessionTimeoutMs: config.SESSION_TIMEOUT_MS,
    },
    kafka: {
      brokers: config.KAFKA_BROKERS.split(','),
      callDeadlineMs: config.KAFKA_CALL_DEADLINE_MS,
    },
    records: {
      topicPrefix: config.KAFKA_TOPIC_PREFIX,
      partitions: config.TASK_PARTITIONS,
      replication: kafkaReplication(config),
      retentionMs: config.KAFKA_RETENTION_MS,
    },
    workers: {
      threads: config.WORKER_THREADS,
      queueMax: config.WORKER_QUEUE_MAX,
      taskTimeoutMs: config.TASK_TIMEOUT_MS,
    },
    images: { limits: imageLimits(config), chunkPixels: config.CHUNK_PIXELS },
    coordinator: {
      limits: mapReduceLimits(config),
      rememberedJobsMax: config.JOBS_REMEMBERED_MAX,
      recoveryDeadlineMs: config.RECOVERY_DEADLINE_MS,
    },
    leader: { partitions: config.TASK_PARTITIONS, handOverTimeoutMs: config.HAND_OVER_TIMEOUT_MS },
    janitor: { orphanAgeMs: config.BLOB_ORPHAN_AGE_MS, intervalMs: config.JANITOR_INTERVAL_MS },
    http: {
      host: config.HTTP_HOST,
      port: config.HTTP_PORT,
      announcedHost: announcedHost(config) ?? config.HTTP_HOST,
      apiKeysFile: config.API_KEYS_FILE,
      limits: {
        uploadBytesMax: config.UPLOAD_BYTES_MAX,
        jobsOpenMax: config.JOBS_OPEN_MAX,
        jobsPerCallerMax: config.JOBS_PER_CALLER_MAX,
        wholeImagePixelsMax: config.WHOLE_IMAGE_PIXELS_MAX,
      },
    },
  };
}

/** The limits of the MapReduce protocol. */
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

/** The limits on images. */
export function imageLimits(config: Config): ImageLimits {
  return {
    ...imageLimitsDefault,
    fileBytesMax: config.UPLOAD_BYTES_MAX,
    pixelsMax: config.PIXELS_MAX,
    wholeImagePixelsMax: config.WHOLE_IMAGE_PIXELS_MAX,
  };
}

/** The number of copies of each Kafka record. */
export function kafkaReplication({ KAFKA_REPLICATION: given, KAFKA_BROKERS: brokers }: Config): number {
  const known = brokers.split(',').length;
  // With two copies that both must be written, the first dead broker would stop all writes.
  return given ?? (known >= 3 ? 3 : 1);
}

function crossChecks(config: Config): string[] {
  const issues = [...mapReduceLimitIssues(mapReduceLimits(config)), ...announcedHostIssues(config)];
  if (config.WHOLE_IMAGE_PIXELS_MAX > config.PIXELS_MAX)
    issues.push('WHOLE_IMAGE_PIXELS_MAX must not be above PIXELS_MAX');
  if (config.JOBS_PER_CALLER_MAX > config.JOBS_OPEN_MAX)
    issues.push('JOBS_PER_CALLER_MAX must not be above JOBS_OPEN_MAX');
  // A result outlives the end of its job, however many other jobs wait.
  if (config.JOBS_REMEMBERED_MAX <= config.JOBS_OPEN_MAX)
    issues.push('JOBS_REMEMBERED_MAX must be above JOBS_OPEN_MAX');
  // A successor rebuilds a running job from its records.
  if (config.KAFKA_RETENTION_MS <= config.STRAGGLER_TIMEOUT_MAX_MS)
    issues.push('KAFKA_RETENTION_MS must be above STRAGGLER_TIMEOUT_MAX_MS');
  // Tasks in flight finish before a graceful shutdown ends.
  if (config.HAND_OVER_TIMEOUT_MS >= config.STOP_TIMEOUT_MS)
    issues.push('HAND_OVER_TIMEOUT_MS must be below STOP_TIMEOUT_MS');
  return [...issues, ...crashPlanIssues(config)];
}
