/** The artifacts of `pom.xml`: Maven downloads them once into a folder of jars. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '@thermomesh/runtime';
import { repositoryFolder, searchPath, toolsDirDefault, wholeEnvironment } from '../config.ts';
import { serverError } from '../errors.ts';
import { dependenciesOf, unpackDebian } from '../tools/debian.ts';
import { withLock } from '../tools/lock.ts';
import { onPath } from '../tools/search-path.ts';
import { findJava, type JavaRuntime } from './runtime.ts';

const run = promisify(execFile);

/** The runtime and the jars that a Java server is started with. */
export interface JavaServers {
  runtime: JavaRuntime;
  /** Value of `java -cp`. */
  classPath: string;
  /** The folder of jars. */
  folder: string;
  kafkaVersion: string;
  zookeeperVersion: string;
}

export interface FindJarsOptions {
  toolsDir?: string;
  searchPath?: string;
  /** The list of artifacts. Default: the `pom.xml` of this repository. */
  pomFile?: string;
  onNotice?: (line: string) => void;
}

const fetchTimeoutMs = 600_000;
const lockWaitMaxMs = 900_000;

/**
 * Finds Java, and the jars of `pom.xml`; fetches what is missing. A changed `pom.xml` gets a folder
 * of its own.
 * @throws MeshError `java.absent`, `java.jars_absent`: one line that says why and what to do
 */
export async function findJavaServers(options: FindJarsOptions = {}): Promise<JavaServers> {
  const find = {
    toolsDir: options.toolsDir ?? toolsDirDefault,
    searchPath: options.searchPath ?? searchPath(),
    ...(options.onNotice === undefined ? {} : { onNotice: options.onNotice }),
  };
  const runtime = await findJava(find);
  const pomFile = options.pomFile ?? path.join(repositoryFolder, 'pom.xml');
  const key = createHash('sha256').update(readFileSync(pomFile)).digest('hex').slice(0, 12);
  const folder = path.join(find.toolsDir, `java-servers-${key}`);
  if (!existsSync(folder)) {
    try {
      const waiting = () => find.onNotice?.('another process downloads Kafka and ZooKeeper');
      await withLock(`${folder}.lock`, { waitMaxMs: lockWaitMaxMs, onWait: waiting }, async () => {
        if (!existsSync(folder)) await fetchJars(pomFile, folder, runtime, find);
      });
    } catch (error) {
      throw serverError(
        'java.jars_absent',
        `Kafka and ZooKeeper are absent (${mavenError(error)}): with Maven and a network once "mvn -f pom.xml dependency:resolve" must work`,
        { cause: error },
      );
    }
  }
  return describe(runtime, folder);
}

function describe(runtime: JavaRuntime, folder: string): JavaServers {
  const names = readdirSync(folder).filter((name) => name.endsWith('.jar'));
  const versionOf = (jar: RegExp) => names.map((name) => jar.exec(name)?.[1]).find(Boolean) ?? 'unknown';
  return {
    runtime,
    folder,
    classPath: path.join(folder, '*'),
    kafkaVersion: versionOf(/^kafka-clients-(\d[\d.]*)\.jar$/),
    zookeeperVersion: versionOf(/^zookeeper-(\d[\d.]*)\.jar$/),
  };
}

/** The folder is renamed into place when it is complete. */
async function fetchJars(
  pomFile: string,
  folder: string,
  runtime: JavaRuntime,
  options: Required<Pick<FindJarsOptions, 'toolsDir' | 'searchPath'>> & Pick<FindJarsOptions, 'onNotice'>,
): Promise<void> {
  const mvn = await findMaven(options);
  options.onNotice?.(`downloading Kafka and ZooKeeper (46 MB) into ${folder}`);
  const building = `${folder}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await mkdir(building, { recursive: true });
  const goal = ['-B', '-q', '--strict-checksums', '-f', pomFile, 'dependency:copy-dependencies'];
  const target = ['-DincludeScope=runtime', `-DoutputDirectory=${building}`];
  const inherited = wholeEnvironment();
  const env = {
    ...inherited,
    ...runtime.env,
    JAVA_HOME: runtime.home,
    MAVEN_OPTS: [inherited['MAVEN_OPTS'] ?? '', ...runtime.args].join(' ').trim(),
  };
  try {
    await run(mvn, [...goal, ...target], { env, timeout: fetchTimeoutMs, maxBuffer: 16 * 1024 * 1024 });
    await rename(building, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

async function findMaven(options: {
  toolsDir: string;
  searchPath: string;
  onNotice?: (line: string) => void;
}): Promise<string> {
  const installed = await onPath('mvn', options.searchPath);
  if (installed !== undefined) return installed;
  const { toolsDir, onNotice } = options;
  // Maven's libraries are packages of their own, which differ from release to release. Java is
  // already there.
  const isPart = (name: string) => /^(maven|lib.*-java)$/.test(name);
  const packages = (await dependenciesOf('maven')).filter(isPart);
  const folder = await unpackDebian({
    toolsDir,
    name: 'maven',
    packages: ['maven', ...packages.filter((name) => name !== 'maven')],
    ...(onNotice === undefined ? {} : { onNotice }),
  });
  return path.join(folder, 'usr', 'share', 'maven', 'bin', 'mvn');
}

/** Maven's own error line, if Maven failed. */
function mavenError(error: unknown): string {
  const output = (error as { stdout?: string }).stdout ?? '';
  const line = output.split('\n').find((text) => text.startsWith('[ERROR]'));
  return (line ?? messageOf(error).split('\n')[0] ?? '').replace('[ERROR] ', '');
}
