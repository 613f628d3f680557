/**
 * Command lines of the Java servers: a small heap, a quick start, and no files outside their own
 * folders.
 */
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { JavaServers } from './jars.ts';

export interface JavaArguments {
  heapMb: number;
  /** Folder into which Java unpacks native libraries; emptied now. */
  scratchDir: string;
  /** System properties. */
  properties?: Record<string, string>;
  mainClass: string;
  /** Arguments of the main class. */
  args: string[];
}

/** The arguments of `java`. */
export function javaArguments(servers: JavaServers, options: JavaArguments): string[] {
  // A killed process leaves files here that no other process removes.
  rmSync(options.scratchDir, { recursive: true, force: true });
  mkdirSync(options.scratchDir, { recursive: true, mode: 0o700 });
  const properties = {
    'log4j.configuration': `file:${path.join(import.meta.dirname, 'log4j.properties')}`,
    'java.net.preferIPv4Stack': 'true',
    'java.awt.headless': 'true',
    'java.io.tmpdir': options.scratchDir,
    ...options.properties,
  };
  return [
    ...servers.runtime.args,
    `-Xmx${options.heapMb}m`,
    '-XX:+UseSerialGC',
    // These servers run for minutes: the second compiler costs more than it saves.
    '-XX:TieredStopAtLevel=1',
    // Out of memory the server ends and can be started again, instead of failing half of its
    // requests.
    '-XX:+ExitOnOutOfMemoryError',
    // No files in the temporary folder of the machine.
    '-XX:-UsePerfData',
    ...Object.entries(properties).map(([name, value]) => `-D${name}=${value}`),
    '-cp',
    servers.classPath,
    options.mainClass,
    ...options.args,
  ];
}

/** A small environment: the server inherits none of the caller's variables. */
export function javaEnvironment(servers: JavaServers): NodeJS.ProcessEnv {
  return { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', ...servers.runtime.env };
}
