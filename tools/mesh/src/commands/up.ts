/** `mesh up` starts a mesh. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { StatusDocument } from '@thermomesh/contracts';
import { messageOf } from '@thermomesh/runtime';
import type { ElectionStrategy, MeshConfig } from '../config.ts';
import { meshError } from '../errors.ts';
import type { CoordinationSizes } from '../local/state/ports.ts';
import { startDetached } from '../local/supervisor/detach.ts';
import { runMesh, type UpOptions } from '../local/supervisor/run-mesh.ts';
import { layoutOf } from '../mesh/files/layout.ts';
import type { RunFile } from '../mesh/files/run-file.ts';
import { ensureFirstApiKey, ensureSecret } from '../mesh/files/secrets.ts';
import { openLocalMesh } from '../mesh/mesh.ts';
import { readStatus } from '../mesh/status.ts';
import {
  collectEnv,
  portNumber,
  printJson,
  say,
  wholeNumber,
  withOutput,
  type OutputOptions,
} from './options.ts';
import { describeEvent } from './view/events.ts';
import { showLive } from './view/live.ts';
import { maskPassword } from './view/table.ts';

interface UpFlags extends OutputOptions {
  detach?: boolean;
  fleet?: boolean;
  devices: number;
  nodes: number;
  proxied?: boolean;
  without?: ('payments' | 'images' | 'coordination' | 'kafka')[];
  zookeeper: CoordinationSizes['zookeeper'];
  kafka: CoordinationSizes['kafka'];
  equalizers: number;
  election?: ElectionStrategy;
  mqttPort?: number;
  httpPort?: number;
  env?: UpOptions['extraEnv'];
  adopt?: 'database'[];
}

/**
 * One Ctrl-C may reach this process several times; only a later signal means that the user is
 * impatient.
 */
const impatienceMs = 2_000;

const help = `
Processes are named postgres, redis, zookeeper-1 …, kafka-1 …, links, card-processor, billing-1,
billing-2, equalizer-1 … equalizer-5, gateway, node-1 … node-5 and fleet. A process that ends is
started again. A part that is not available (Redis, for example) is left out, and one line reports
it. ZooKeeper, Kafka and the equalizer nodes start beside the rest; if their servers have to be
downloaded first, they are ready later.
--env sets a variable of one process. Variables whose name begins with CRASH_ are set for its first
start only, so that a restarted process does not crash at the same point again.

State is kept under .mesh/<name> (MESH_HOME moves .mesh). DATABASE_URL, REDIS_URL, ZOOKEEPER_HOSTS
and KAFKA_BROKERS name servers to use instead of the mesh's own. With --json, --detach prints the
status document plus "apiKey" (null unless this start created the first key).

A mesh refuses a database that is not the one that it has worked with, and says how to go back.
--adopt database takes it in its place: what was stored stays in the former one, and the accounts
show how much that is.

Examples:
  mesh up --fleet
  mesh up --detach --name second
  mesh up --detach --without payments coordination   # telemetry only: less memory, quick start
  mesh up --zookeeper 3 --kafka 3                    # images survive the death of a server
  mesh up --election zookeeper --zookeeper 3
  mesh up --detach --proxied                         # for mesh chaos --partition, --cut, --slow
  mesh up --detach --mqtt-port 1884 --env node-5:CRASH_POINT=analytics.after-commit:3`;

export function addUp(program: Command, config: () => MeshConfig): void {
  withOutput(program.command('up'))
    .description('start a mesh on this machine and keep it running until Ctrl-C or "mesh down"')
    .option('--detach', 'return when everything is ready; "mesh down" stops the mesh')
    .option('--fleet', 'run simulated thermostats too')
    .option('--devices <n>', 'number of simulated thermostats', wholeNumber(1, 10_000), 20)
    .option('--nodes <n>', 'number of analytics nodes', wholeNumber(1, 9), 5)
    .option('--proxied', 'put proxies between the nodes that "mesh chaos" can cut, stall and slow')
    .addOption(
      new Option(
        '--without <part...>',
        'leave out payments (Redis, card processor, billing, checkout), images (equalizer), coordination (ZooKeeper, Kafka, equalizer) or kafka (Kafka, equalizer)',
      ).choices(['payments', 'images', 'coordination', 'kafka']),
    )
    .addOption(
      sizeOption('--zookeeper <n>', 'number of ZooKeeper servers: 1, or an ensemble of 3 or 5', [1, 3, 5]),
    )
    .addOption(sizeOption('--kafka <n>', 'number of Kafka brokers: 1 or 3; 0 runs none', [1, 0, 3]))
    .option('--equalizers <n>', 'number of equalizer nodes', wholeNumber(1, 9), 5)
    .addOption(
      new Option(
        '--election <strategy>',
        'how the nodes elect their coordinator (default: ELECTION, else bully)',
      ).choices(['bully', 'zookeeper']),
    )
    .option(
      '--mqtt-port <port>',
      'MQTT port (default: 1883 for the mesh "main", else a free one)',
      portNumber,
    )
    .option(
      '--http-port <port>',
      'HTTP port (default: 8080 for the mesh "main", else a free one)',
      portNumber,
    )
    .option('--env <process:KEY=VALUE>', 'set a variable of one process; may be repeated', collectEnv)
    .addOption(
      new Option(
        '--adopt <server...>',
        'work with a server from now on although the mesh has worked with another one',
      ).choices(['database']),
    )
    .addHelpText('after', help)
    .action(async (flags: UpFlags) => {
      if (flags.json === true && flags.detach !== true)
        throw meshError('usage', '--json needs --detach: a mesh in the foreground prints no document');
      const settings = config();
      const options: UpOptions = {
        name: flags.name,
        mqttPort: flags.mqttPort ?? settings.mqttPort,
        httpPort: flags.httpPort ?? settings.httpPort,
        nodes: flags.nodes,
        fleetDevices: flags.fleet === true ? flags.devices : 0,
        proxied: flags.proxied === true,
        payments: flags.without?.includes('payments') !== true,
        equalizers: flags.without?.includes('images') === true ? 0 : flags.equalizers,
        ...coordinationOf(flags, settings),
        extraEnv: flags.env ?? {},
        adopt: flags.adopt ?? [],
      };
      await (flags.detach === true
        ? detached(settings, options, flags.json === true)
        : foreground(settings, options));
    });
}

function sizeOption(flag: string, description: string, sizes: readonly number[]): Option {
  return new Option(flag, description).default(sizes[0]).argParser((text: string) => {
    const size = sizes.find((each) => String(each) === text);
    if (size === undefined) throw new InvalidArgumentError(`must be one of ${sizes.toSorted().join(', ')}`);
    return size;
  });
}

function coordinationOf(flags: UpFlags, config: MeshConfig): Pick<UpOptions, 'coordination' | 'election'> {
  const without = flags.without ?? [];
  const election = flags.election ?? config.election;
  if (!without.includes('coordination')) {
    const kafka = without.includes('kafka') ? 0 : flags.kafka;
    return { election, coordination: { zookeeper: flags.zookeeper, kafka } };
  }
  if (election === 'zookeeper')
    throw meshError('usage', 'the election needs ZooKeeper: leave out "--without coordination"');
  return { election, coordination: undefined };
}

async function detached(config: MeshConfig, options: UpOptions, json: boolean): Promise<void> {
  const layout = layoutOf(config.home, options.name);
  ensureSecret(layout);
  await startDetached(config, layout, options);
  const apiKey = (await ensureFirstApiKey(layout)) ?? null;
  const status = await readStatus(openLocalMesh(config, options.name));
  if (json) printJson({ ...status, apiKey });
  else for (const line of greeting(options.name, status, apiKey)) console.log(line);
}

async function foreground(config: MeshConfig, options: UpOptions): Promise<void> {
  const abort = new AbortController();
  const ended = Promise.withResolvers<undefined>();
  let firstSignalAt: number | undefined;
  const onSignal = () => {
    if (firstSignalAt === undefined) {
      firstSignalAt = Date.now();
      abort.abort();
      ended.resolve(undefined);
      say('stopping …');
    } else if (Date.now() - firstSignalAt > impatienceMs) {
      say('still stopping: a process that does not end in time is killed');
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  // A closed terminal or pipe must not end the supervisor before it has stopped the mesh.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

  let live: { stop(): void; print(line: string): void } | undefined;
  const print = (line: string) => (live === undefined ? say(line) : live.print(line));
  let mesh;
  try {
    mesh = await runMesh(config, options, (event) => print(describeEvent(event)), abort.signal);
  } catch (error) {
    if (abort.signal.aborted) return;
    throw error;
  }
  if (!abort.signal.aborted) {
    const opened = openLocalMesh(config, options.name);
    // The parent of a detached mesh shows the key; it must not be written to a log.
    const apiKey = process.send === undefined ? ((await ensureFirstApiKey(opened.layout)) ?? null) : null;
    for (const line of greeting(options.name, mesh.run(), apiKey)) console.log(line);
    if (process.stdout.isTTY) live = showLive(opened);
    process.send?.({ ready: true });
    await ended.promise;
  }
  live?.stop();
  live = undefined;
  await mesh.stop().catch((error: unknown) => {
    throw meshError('mesh.stop_failed', `not every process could be stopped: ${messageOf(error)}`, {
      cause: error,
    });
  });
  say('stopped');
}

function greeting(
  name: string,
  mesh: Pick<StatusDocument, 'mqttUrl' | 'httpUrl' | 'databaseUrl' | 'redisUrl'> &
    Pick<RunFile, 'zookeeperHosts' | 'kafkaBrokers'> & { processes: { role: string }[] },
  apiKey: string | null,
): string[] {
  const flag = name === 'main' ? '' : ` --name ${name}`;
  return [
    `the mesh "${name}" is up`,
    `  mqttUrl  ${mesh.mqttUrl ?? '-'}`,
    `  httpUrl  ${mesh.httpUrl ?? '-'}`,
    `  database ${maskPassword(mesh.databaseUrl)}  (mesh status --json has the password)`,
    ...(mesh.redisUrl === null
      ? []
      : [`  Redis    ${maskPassword(mesh.redisUrl)}  (mesh status --json has the password)`]),
    ...addressLine('ZooKeeper', mesh.zookeeperHosts),
    ...addressLine('Kafka', mesh.kafkaBrokers),
    ...(apiKey === null ? [] : [`  API key  ${apiKey}  (shown once; mesh api-key create creates more)`]),
    'next, in another terminal:',
    `  npx mesh status${flag}`,
    `  npx mesh load${flag} --devices 100 --rate 1000 --seconds 10`,
    `  npx mesh chaos coordinator${flag} --times 3 --load`,
    ...(mesh.redisUrl === null ? [] : [`  npx mesh payments${flag} --requests 2000 --uuids 200 --chaos`]),
    ...(mesh.processes.some(({ role }) => role === 'equalizer')
      ? [`  npx mesh equalize${flag} photo.jpg --out better.jpg --picture both.png`]
      : []),
    `  npx mesh verify${flag}`,
    `  npx mesh down${flag}`,
  ];
}

function addressLine(what: string, address: string | null | undefined): string[] {
  return address === null || address === undefined ? [] : [`  ${what.padEnd(8)} ${address}`];
}
