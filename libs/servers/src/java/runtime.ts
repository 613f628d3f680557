/** Finds Java: on PATH, or else in Debian's package, which is unpacked into a folder. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '@thermomesh/runtime';
import { serverError } from '../errors.ts';
import { libraryPath, unpackDebian } from '../tools/debian.ts';
import { onPath } from '../tools/search-path.ts';
import { ensureTrustStore } from './trust-store.ts';

const run = promisify(execFile);

export interface JavaRuntime {
  java: string;
  /** The folder above `bin/java`. */
  home: string;
  /** The version, such as `17.0.15`. */
  version: string;
  env: Record<string, string>;
  /** Options that every program needs on this runtime. */
  args: string[];
  /** Where it comes from, for people. */
  origin: string;
}

export interface FindJavaOptions {
  toolsDir: string;
  /** As in `PATH`. */
  searchPath: string;
  onNotice?: (line: string) => void;
}

/** Kafka 3.9 is tested on it, and Debian has it. */
const majorMin = 17;
/** Needs no libraries for screens, sound or printers; zlib is on every system. */
const packages = ['openjdk-17-jre-headless'];
const commandTimeoutMs = 60_000;

/**
 * Finds Java 17 or newer on the search path, or unpacks a runtime below `toolsDir`.
 * @throws MeshError `java.absent`: one line that says why and what to do
 */
export async function findJava(options: FindJavaOptions): Promise<JavaRuntime> {
  const installed = await onPath('java', options.searchPath);
  if (installed !== undefined) {
    const version = await versionOf(installed, {});
    if (version !== undefined && Number(version.split('.')[0]) >= majorMin) {
      const home = path.resolve(path.dirname(realpathSync(installed)), '..');
      return { java: installed, home, version, env: {}, args: [], origin: installed };
    }
  }
  try {
    return await unpacked(options);
  } catch (error) {
    const why = messageOf(error).split('\n')[0];
    throw serverError(
      'java.absent',
      `Java ${majorMin} or newer is absent (${why}): install the package "openjdk-17-jre-headless"`,
      { cause: error },
    );
  }
}

async function unpacked(options: FindJavaOptions): Promise<JavaRuntime> {
  const { toolsDir, onNotice } = options;
  const folder = await unpackDebian({
    toolsDir,
    name: 'java-17',
    packages,
    ...(onNotice === undefined ? {} : { onNotice }),
  });
  const machines = path.join(folder, 'usr', 'lib', 'jvm');
  const home = readdirSync(machines)
    .map((name) => path.join(machines, name))
    .find((candidate) => existsSync(path.join(candidate, 'bin', 'java')));
  if (home === undefined) throw new Error(`${machines} contains no Java`);
  const java = path.join(home, 'bin', 'java');
  const env = { LD_LIBRARY_PATH: libraryPath(folder) };
  const version = await versionOf(java, env);
  if (version === undefined) throw new Error(`${java} does not run`);
  // The package that would create the trust store runs scripts as root.
  const trustStore = await ensureTrustStore(`${folder}.truststore`);
  return { java, home, version, env, args: [`-Djavax.net.ssl.trustStore=${trustStore}`], origin: folder };
}

/** Undefined if the program does not run: the `java` of a bare macOS only prints a hint. */
async function versionOf(java: string, env: Record<string, string>): Promise<string | undefined> {
  const output = await run(java, ['-version'], { env, timeout: commandTimeoutMs }).then(
    ({ stderr, stdout }) => stderr + stdout,
    () => '',
  );
  return /version "(\d+(?:\.\d+)*)/.exec(output)?.[1];
}
