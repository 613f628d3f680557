/**
 * The lifecycle of a server program that reads a configuration file: find the program, start it on
 * a data folder, find it again by its pid file, stop it. Redis, ZooKeeper and Kafka are defined
 * with it.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { describePortHolder, portHolder, sleep } from '@thermomesh/runtime';
import { serverError, type ServerKind } from './errors.ts';
import {
  clearTheWay,
  findRunning,
  launch,
  runningServer,
  shutDown,
  type LaunchFailure,
  type RunningServer,
  type ServerOptions,
} from './launch.ts';
import { freeLastingPort } from './ports.ts';
import type { ProcessIdentity } from './processes.ts';

/** How one server process is started, and what its handle offers beyond {@link RunningServer}. */
export interface ServerCommand<Server extends RunningServer> {
  program: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  /** Returns true once the server is ready; called repeatedly until then. */
  isReady: () => Promise<boolean>;
  version: string;
  extra: Omit<Server, keyof RunningServer>;
}

/** Everything that differs from one kind of server to another. */
export interface ServerDefinition<Options extends ServerOptions, Programs, Server extends RunningServer> {
  kind: Exclude<ServerKind, 'postgres'>;
  /** Name in messages to people. */
  name: string;
  startTimeoutDefaultMs: number;
  /**
   * The configuration file of a data folder. The command line names it, which identifies the
   * server's process.
   */
  configFile: (dataDir: string) => string;
  /** Finds the programs, or fetches them. */
  find: (options: Options) => Promise<Programs>;
  /** Writes the configuration of one attempt on `port` and returns its command. */
  command: (programs: Programs, options: Options, port: number) => ServerCommand<Server>;
  /** A failed start whose log matches `log` is tried again until the start timeout. */
  startAgain?: { log: RegExp; notice: string };
  /** A failed start whose log matches is reported as retriable. */
  retriableLog?: RegExp;
}

/** The operations on one kind of server. */
export interface ServerLifecycle<Options extends ServerOptions, Server extends RunningServer> {
  /**
   * Starts a server on `options.dataDir` and returns when it is ready.
   * @throws MeshError `<kind>.already_running`, `<kind>.start_failed`, and the errors of `find`
   */
  start(options: Options): Promise<Server>;
  /**
   * Stops the server that runs on `dataDir`, no matter which process started it.
   * @returns false if none runs there
   */
  stop(dataDir: string): Promise<boolean>;
  /** The server process that runs on `dataDir`; undefined if there is none. */
  findRunning(dataDir: string): Promise<ProcessIdentity | undefined>;
}

const retryIntervalMs = 250;
/** What a server logs if its port is taken. */
const addressInUse = /Address already in use/;

export function defineServer<Options extends ServerOptions, Programs, Server extends RunningServer>(
  definition: ServerDefinition<Options, Programs, Server>,
): ServerLifecycle<Options, Server> {
  const { kind, name, configFile, startAgain } = definition;

  const findServer = async (dataDir: string) => {
    const folder = path.resolve(dataDir);
    return findRunning(pidFileOf(folder), configFile(folder));
  };

  return {
    findRunning: findServer,
    async start(given) {
      const options = { ...given, dataDir: path.resolve(given.dataDir) };
      const { dataDir, onNotice, port: wanted = 0 } = options;
      const programs = await definition.find(options);
      const replaceRunning = options.replaceRunning ?? false;
      await clearTheWay(await findServer(dataDir), { kind, name, replaceRunning, dataDir });
      mkdirSync(dataDir, { recursive: true, mode: 0o700 });
      const deadline = Date.now() + (options.startTimeoutMs ?? definition.startTimeoutDefaultMs);
      let noticed = false;
      for (;;) {
        const port = wanted === 0 ? await freeLastingPort() : wanted;
        const outcome = await attempt(definition, programs, options, port, deadline - Date.now());
        if (!('reason' in outcome)) return outcome;
        const portTaken = wanted === 0 && addressInUse.test(outcome.log);
        const passing = startAgain?.log.test(outcome.log) === true;
        if ((!portTaken && !passing) || Date.now() > deadline) {
          throw serverError(`${kind}.start_failed`, failureOf(name, port, outcome), {
            retriable: definition.retriableLog?.test(outcome.log) === true,
          });
        }
        if (passing && !noticed) onNotice?.(startAgain?.notice ?? '');
        noticed ||= passing;
        await sleep(retryIntervalMs);
      }
    },
    async stop(dataDir) {
      const running = await findServer(dataDir);
      if (running === undefined) return false;
      await shutDown(running, ['SIGTERM', 'SIGKILL'], { kind, name });
      return true;
    },
  };
}

/** Why the server did not start, in one line if its port is the reason. */
function failureOf(name: string, port: number, { reason, log }: LaunchFailure): string {
  // ZooKeeper and Kafka listen on further ports, which other processes may hold.
  return addressInUse.test(log) && portHolder(port) !== undefined
    ? `${name} did not start: port ${port} is taken by ${describePortHolder(port)}; end that process, or choose another port`
    : `${name} did not start on port ${port}: ${reason}`;
}

/** One attempt on one port. */
async function attempt<Options extends ServerOptions, Programs, Server extends RunningServer>(
  definition: ServerDefinition<Options, Programs, Server>,
  programs: Programs,
  options: Options,
  port: number,
  timeoutMs: number,
): Promise<Server | LaunchFailure> {
  const { kind, name } = definition;
  const { dataDir } = options;
  const logFile = path.resolve(options.logFile ?? `${dataDir}.log`);
  const pidFile = pidFileOf(dataDir);
  const { program, args, env, isReady, version, extra } = definition.command(programs, options, port);
  const result = await launch({
    program,
    args,
    env,
    cwd: dataDir,
    logFile,
    pidFile,
    isReady,
    timeoutMs,
    endWithParent: options.endWithParent ?? false,
    scratchFolder: options.scratchFolder,
  });
  if ('reason' in result) return result;
  const shared: RunningServer = {
    ...(await runningServer(result.child, { kind, name, pidFile, logFile })),
    port,
    dataDir,
    logFile,
    version,
  };
  return { ...shared, ...extra } as Server;
}

function pidFileOf(dataDir: string): string {
  return `${dataDir}.pid`;
}
