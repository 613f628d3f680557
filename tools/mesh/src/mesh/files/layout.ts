/** The files of a mesh. */
import path from 'node:path';
import { meshError } from '../../errors.ts';

/** Paths of the files and folders of one mesh. */
export interface Layout {
  folder: string;
  secretFile: string;
  /** Secrets of single processes; each file has mode 0600 and is created at the first start. */
  billingSecretFile: string;
  processorSecretFile: string;
  checkoutSecretFile: string;
  apiKeysFile: string;
  runFile: string;
  portsFile: string;
  /** The id of the mesh, and the servers that it has worked with. */
  identityFile: string;
  lockFile: string;
  postgresDir: string;
  gatewayDir: string;
  redisDir: string;
  redisPasswordFile: string;
  /** Folder of the card processor's own ledger. */
  processorDir: string;
  /** It contains one folder for each server; so does the folder of Kafka. */
  zookeeperDir: string;
  kafkaDir: string;
  /** Uploads, spools and results of image jobs; all equalizer nodes share it. */
  blobsDir: string;
  logsDir: string;
  ledgersDir: string;
  /** What customers and callers of the equalizer have seen. */
  evidenceDir: string;
  /** One folder for each series of `mesh chaos`, with its timeline, logs and ledgers. */
  runsDir: string;
  fleetFile: string;
  /** A file here, named like a process, keeps the supervisor from starting that process again. */
  holdsDir: string;
  logFile(processName: string): string;
}

const namePattern = /^[a-z0-9][a-z0-9-]{0,30}$/;

/**
 * The layout of the mesh `name` below `home`.
 * @throws MeshError `mesh.bad_name`
 */
export function layoutOf(home: string, name: string): Layout {
  if (!namePattern.test(name)) {
    throw meshError('mesh.bad_name', `"${name}" is not a name of a mesh: 1 to 31 of a-z, 0-9 and "-"`);
  }
  const folder = path.join(home, name);
  const inside = (...parts: string[]) => path.join(folder, ...parts);
  return {
    folder,
    secretFile: inside('secret'),
    billingSecretFile: inside('billing.secret'),
    processorSecretFile: inside('processor.secret'),
    checkoutSecretFile: inside('checkout.secret'),
    apiKeysFile: inside('api-keys.ndjson'),
    runFile: inside('run.json'),
    portsFile: inside('ports.json'),
    identityFile: inside('identity.json'),
    lockFile: inside('supervisor.lock'),
    postgresDir: inside('pg'),
    gatewayDir: inside('gateway'),
    redisDir: inside('redis'),
    redisPasswordFile: inside('redis.password'),
    processorDir: inside('card-processor'),
    zookeeperDir: inside('zookeeper'),
    kafkaDir: inside('kafka'),
    blobsDir: inside('blobs'),
    logsDir: inside('logs'),
    ledgersDir: inside('ledgers'),
    evidenceDir: inside('evidence'),
    runsDir: inside('runs'),
    fleetFile: inside('fleet.json'),
    holdsDir: inside('holds'),
    logFile: (processName) => inside('logs', `${processName}.log`),
  };
}
