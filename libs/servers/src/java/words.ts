/** How the Java servers are started: small, quickly, and without files outside their own folders. */
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { JavaServers } from './jars.ts';

export interface JavaWords {
  heapMb: number;
  /** Where libraries are unpacked that Java brings along; emptied now. */
  scratchDir: string;
  /** System properties. */
  properties?: Record<string, string>;
  mainClass: string;
  words: string[];
}

/** The words after `java`. */
export function javaWords(servers: JavaServers, options: JavaWords): string[] {
  // What a killed process left there nobody else removes.
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
    ...servers.runtime.words,
    `-Xmx${options.heapMb}m`,
    '-XX:+UseSerialGC',
    // Servers of one machine live for minutes: the second compiler costs more than it brings.
    '-XX:TieredStopAtLevel=1',
    // Out of memory it ends, and can be started again, instead of answering half.
    '-XX:+ExitOnOutOfMemoryError',
    // No files in the machine's temporary folder.
    '-XX:-UsePerfData',
    ...Object.entries(properties).map(([name, value]) => `-D${name}=${value}`),
    '-cp',
    servers.classPath,
    options.mainClass,
    ...options.words,
  ];
}

/** A small environment: nothing of the caller's reaches the server. */
export function javaEnvironment(servers: JavaServers): NodeJS.ProcessEnv {
  return { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', ...servers.runtime.env };
}
