/** Starts a supervisor that outlives the terminal. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { MeshConfig } from '../../config.ts';
import { meshError } from '../../errors.ts';
import { tailOf } from '../../mesh/files/files.ts';
import type { Layout } from '../../mesh/files/layout.ts';
import { livingSupervisor } from '../../mesh/files/run-file.ts';
import type { UpOptions } from './run-mesh.ts';

const startTimeoutMs = 180_000;
const tailLines = 20;

/**
 * Starts the supervisor in the background and resolves when everything is ready.
 * @throws MeshError `mesh.already_running`, `mesh.start_failed` with the end of its log
 */
export async function startDetached(config: MeshConfig, layout: Layout, options: UpOptions): Promise<void> {
  const running = await livingSupervisor(layout);
  if (running !== undefined) {
    throw meshError(
      'mesh.already_running',
      `the mesh "${options.name}" is already up (supervisor ${running.pid}): "mesh down --name ${options.name}" stops it`,
    );
  }
  mkdirSync(layout.logsDir, { recursive: true });
  const logFile = layout.logFile('supervisor');
  const log = openSync(logFile, 'a', 0o640);
  const offset = statSync(logFile).size;
  const env: Record<string, string> = { ...config.environment, MESH_HOME: config.home };
  if (config.databaseUrl !== undefined) env['DATABASE_URL'] = config.databaseUrl;
  if (config.redisUrl !== undefined) env['REDIS_URL'] = config.redisUrl;
  if (config.zookeeperHosts !== undefined) env['ZOOKEEPER_HOSTS'] = config.zookeeperHosts;
  if (config.kafkaBrokers !== undefined) env['KAFKA_BROKERS'] = config.kafkaBrokers;
  const child = spawn(
    process.execPath,
    [path.join(config.root, 'tools/mesh/src/main.ts'), ...wordsOf(options)],
    {
      detached: true,
      cwd: config.root,
      env,
      stdio: ['ignore', log, log, 'ipc'],
    },
  );
  closeSync(log);
  const outcome = await new Promise<'ready' | 'ended' | 'late'>((resolve) => {
    child.on('message', () => resolve('ready'));
    child.once('exit', () => resolve('ended'));
    child.once('error', () => resolve('ended'));
    setTimeout(() => resolve('late'), startTimeoutMs).unref();
  });
  if (outcome === 'ready') {
    child.disconnect();
    child.unref();
    return;
  }
  if (outcome === 'late') child.kill('SIGTERM');
  const said = readFileSync(logFile, 'utf8').slice(offset).trim().split('\n').slice(-tailLines).join('\n');
  throw meshError(
    'mesh.start_failed',
    `the mesh "${options.name}" did not start:\n${said || tailOf(logFile, tailLines)}`,
  );
}

function wordsOf(options: UpOptions): string[] {
  const words = ['up', '--name', options.name, '--nodes', String(options.nodes)];
  if (options.fleetDevices > 0) words.push('--fleet', '--devices', String(options.fleetDevices));
  if (options.proxied) words.push('--proxied');
  if (!options.payments) words.push('--without', 'payments');
  const { coordination } = options;
  if (coordination === undefined) words.push('--without', 'coordination');
  else words.push('--zookeeper', String(coordination.zookeeper), '--kafka', String(coordination.kafka));
  if (options.equalizers === 0) words.push('--without', 'images');
  else words.push('--equalizers', String(options.equalizers));
  words.push('--election', options.election);
  for (const kind of options.adopt ?? []) words.push('--adopt', kind);
  if (options.mqttPort !== undefined) words.push('--mqtt-port', String(options.mqttPort));
  if (options.httpPort !== undefined) words.push('--http-port', String(options.httpPort));
  for (const [process, values] of Object.entries(options.extraEnv)) {
    for (const [key, value] of Object.entries(values)) words.push('--env', `${process}:${key}=${value}`);
  }
  return words;
}
