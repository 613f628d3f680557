/**
 * Runs a mesh under the supervision of this process, from taking the lock to the end of the last
 * process.
 */
import { appendFile, mkdir } from 'node:fs/promises';
import { didYouMean } from '@thermomesh/runtime';
import { identify } from '@thermomesh/servers';
import type { ElectionStrategy, MeshConfig } from '../../config.ts';
import { meshError } from '../../errors.ts';
import { layoutOf, type Layout } from '../../mesh/files/layout.ts';
import { lockSupervisor, writeRunFile, type ProcessRecord, type RunFile } from '../../mesh/files/run-file.ts';
import { ensurePaymentSecrets, ensureSecret } from '../../mesh/files/secrets.ts';
import { openLocalMesh } from '../../mesh/mesh.ts';
import { readCoordinator } from '../../mesh/status.ts';
import { controlName, linkNames } from '../links/names.ts';
import { isHeld, releaseAll } from '../state/holds.ts';
import { choosePorts, type CoordinationSizes } from '../state/ports.ts';
import type { ServerKind } from '../state/servers.ts';
import { rotateLog } from './child.ts';
import { endLeftovers } from './leftovers.ts';
import { billingReplicas } from './payments-plan.ts';
import { planMesh, type MeshPlan } from './plan.ts';
import type { MeshEvent } from './spec.ts';
import { createSupervisor } from './supervisor.ts';

export interface UpOptions {
  name: string;
  mqttPort?: number | undefined;
  httpPort?: number | undefined;
  /** Number of analytics nodes. */
  nodes: number;
  /** Number of simulated devices; 0 runs no fleet. */
  fleetDevices: number;
  /** Puts every link of a node through a proxy that `mesh chaos` can cut. */
  proxied: boolean;
  /** Runs Redis, the card processor and billing; the gateway has a checkout. */
  payments: boolean;
  /** Numbers of ZooKeeper servers and Kafka brokers; undefined runs neither. */
  coordination: CoordinationSizes | undefined;
  /** Number of equalizer nodes, if ZooKeeper and Kafka run; 0 runs no images. */
  equalizers: number;
  election: ElectionStrategy;
  /** Variables by process name, from `--env`. */
  extraEnv: Record<string, Record<string, string>>;
  /** Servers that this start adopts although the mesh has worked with others. */
  adopt?: readonly ServerKind[] | undefined;
}

export interface RunningMesh {
  run(): RunFile;
  stop(): Promise<void>;
}

type Tell = (event: MeshEvent) => void;

const rotateIntervalMs = 10_000;

/**
 * Ends what an earlier supervisor left behind, then starts everything and resolves when it is
 * ready. If a process does not start, everything is stopped again.
 * @param abort ends a start that is under way
 * @throws MeshError `mesh.already_running`, or the error of the process that does not start
 */
export async function runMesh(
  config: MeshConfig,
  options: UpOptions,
  onEvent: Tell,
  abort: AbortSignal,
): Promise<RunningMesh> {
  const layout = layoutOf(config.home, options.name);
  ensureSecret(layout);
  if (options.payments) ensurePaymentSecrets(layout);
  const unlock = await lockSupervisor(layout, options.name);
  try {
    await mkdir(layout.logsDir, { recursive: true });
    const tell: Tell = (event) => {
      void appendFile(
        layout.logFile('events'),
        `${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`,
      );
      onEvent(event);
    };
    await endLeftovers(layout, tell);
    releaseAll(layout);
    const plan = await makePlan(config, options, layout, tell);
    await plan.check();
    return await supervise(config, options, layout, plan, tell, abort, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

async function makePlan(
  config: MeshConfig,
  options: UpOptions,
  layout: Layout,
  tell: Tell,
): Promise<MeshPlan> {
  const notice = (text: string) => tell({ event: 'notice', text });
  const { mqttPort: mqtt, httpPort: http, nodes, name } = options;
  const foreign = config.zookeeperHosts?.split(',');
  const { coordination } = options;
  const zookeepers = coordination === undefined ? 0 : (foreign?.length ?? coordination.zookeeper);
  const links = options.proxied ? [controlName, ...linkNames(nodes, zookeepers)] : [];
  const billing = options.payments ? billingReplicas : 0;
  const equalizers = hasBrokers(config, options) ? options.equalizers : 0;
  const wishes = { mqtt, http, nodes, links, billing, coordination, equalizers, standard: name === 'main' };
  const ports = await choosePorts(layout, wishes, notice);
  const plan = planMesh({
    ...options,
    equalizers,
    config,
    layout,
    ports,
    notice,
  });
  const unknown = Object.keys(options.extraEnv).filter((process) => !plan.names.includes(process));
  if (unknown.length > 0) {
    throw meshError(
      'usage',
      `--env names ${unknown.map((word) => `${word}${didYouMean(word, plan.names)}`).join(', ')}; the processes of this mesh are ${plan.names.join(', ')}`,
    );
  }
  return plan;
}

function hasBrokers(config: MeshConfig, { coordination }: UpOptions): boolean {
  return coordination !== undefined && (coordination.kafka > 0 || config.kafkaBrokers !== undefined);
}

async function supervise(
  config: MeshConfig,
  { name, election }: UpOptions,
  layout: Layout,
  plan: MeshPlan,
  tell: Tell,
  abort: AbortSignal,
  unlock: () => void,
): Promise<RunningMesh> {
  const self = await identify(process.pid);
  if (self === undefined)
    throw meshError('mesh.unsupported', 'this system does not show when a process was started');
  let state: RunFile['state'] = 'starting';
  const { mqttUrl, httpUrl } = plan;
  const describe = (processes: ProcessRecord[]): RunFile => ({
    name,
    state,
    supervisor: self,
    mqttUrl,
    httpUrl,
    databaseUrl: plan.databaseUrl(),
    redisUrl: plan.redisUrl(),
    zookeeperHosts: plan.zookeeperHosts(),
    kafkaBrokers: plan.kafkaBrokers(),
    election,
    processes,
  });
  const supervisor = createSupervisor(plan.stages, {
    onEvent: tell,
    onChange: (processes) => writeRunFile(layout, describe(processes)),
    isHeld: (process) => isHeld(layout, process),
    async lastOf() {
      const coordinator = await readCoordinator(openLocalMesh(config, name));
      return coordinator === null ? undefined : `node-${coordinator.node}`;
    },
  });
  const enter = (next: RunFile['state']) => {
    state = next;
    writeRunFile(layout, describe(supervisor.processes()));
  };
  const rotation = setInterval(() => {
    for (const process of [...plan.names, 'events']) rotateLog(layout.logFile(process));
  }, rotateIntervalMs).unref();
  const stop = async () => {
    clearInterval(rotation);
    enter('stopping');
    await supervisor.stop();
    enter('stopped');
    unlock();
  };
  enter('starting');
  abort.addEventListener('abort', () => void supervisor.stop());
  try {
    if (!abort.aborted) await supervisor.start();
  } catch (error) {
    await stop();
    throw error;
  }
  if (!abort.aborted) enter('running');
  return { run: () => describe(supervisor.processes()), stop };
}
