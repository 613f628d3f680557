import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { freeLastingPort } from '@thermomesh/servers';
import { readMeshConfig } from '../../config.ts';
import { layoutOf } from '../../mesh/files/layout.ts';
import type { CoordinationSizes } from '../state/ports.ts';
import { planCoordination } from './coordination-plan.ts';
import { endLeftovers } from './leftovers.ts';
import type { MeshEvent } from './spec.ts';
import { createSupervisor } from './supervisor.ts';

const homes: string[] = [];
after(() => {
  for (const home of homes) rmSync(home, { recursive: true, force: true });
});

async function planFor(
  sizes: CoordinationSizes,
  own: { zookeeperHosts?: string; kafkaBrokers?: string; election?: 'zookeeper' } = {},
) {
  const home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-plan-'));
  homes.push(home);
  const layout = layoutOf(home, 'plan');
  mkdirSync(layout.logsDir, { recursive: true });
  const { election, ...named } = own;
  const config = { ...readMeshConfig({}), home, ...named };
  const zookeeper = [];
  for (let server = 1; server <= sizes.zookeeper; server += 1) {
    const [port, quorumPort, electionPort] = [
      await freeLastingPort(),
      await freeLastingPort(),
      await freeLastingPort(),
    ];
    zookeeper.push({ port, quorumPort, electionPort });
  }
  const kafka = sizes.kafka === 0 ? [] : [await freeLastingPort()];
  const ports = { mqtt: 1, http: 2, postgres: 3, nodes: [], coordination: { zookeeper, kafka } };
  const common = { fleetDevices: 0, proxied: false, payments: false, extraEnv: {}, notice: () => undefined };
  const options = { name: 'plan', config, layout, ports, coordination: sizes, ...common };
  return {
    layout,
    plan: planCoordination(election === undefined ? options : { ...options, election }, sizes),
  };
}

function supervise(stages: Parameters<typeof createSupervisor>[0]) {
  const events: MeshEvent[] = [];
  const supervisor = createSupervisor(stages, {
    onEvent: (event) => events.push(event),
    onChange: () => undefined,
    isHeld: () => false,
    lateWaitMaxMs: 60_000,
  });
  return { supervisor, events, off: () => events.filter(({ event }) => event === 'part.off') };
}

describe('the coordination part of the plan', () => {
  it('Kafka runs on ZooKeeper, and what a killed supervisor left of them is ended', async () => {
    const { layout, plan } = await planFor({ zookeeper: 1, kafka: 1 });
    // Processes may know the address before it serves; people see it only when it does.
    assert.match(plan.zookeeperAddress() ?? '', /^127\.0\.0\.1:\d+$/);
    assert.deepEqual([plan.zookeeperHosts(), plan.kafkaBrokers()], [null, null]);
    const { supervisor, off } = supervise(plan.stages);
    try {
      await supervisor.start();
      assert.deepEqual(off(), []);
      assert.deepEqual(
        supervisor.processes().map(({ name, ready }) => [name, ready]),
        [
          ['zookeeper-1', true],
          ['kafka-1', true],
        ],
      );
      assert.match(plan.kafkaBrokers() ?? '', /^127\.0\.0\.1:\d+$/);
      assert.equal(plan.zookeeperHosts(), plan.zookeeperAddress());
      await supervisor.stop();
      // A killed supervisor leaves a process that no supervisor knows.
      const [zookeeper] = plan.stages[0]?.specs ?? [];
      assert.ok(zookeeper !== undefined);
      const orphan = await zookeeper.launch(2);
      assert.equal(await endLeftovers(layout, () => undefined), 1);
      await orphan.exited;
    } finally {
      await supervisor.stop();
      await endLeftovers(layout, () => undefined);
    }
  });

  it('unavailable ZooKeeper and Kafka are off, with one line each and no address', async () => {
    const { layout, plan } = await planFor({ zookeeper: 1, kafka: 1 });
    // The folder cannot be created, because a file has its name.
    writeFileSync(layout.zookeeperDir, '');
    const { supervisor, off } = supervise(plan.stages);
    await supervisor.start();
    assert.deepEqual(
      off()
        .map((event) => (event.event === 'part.off' ? event.part : ''))
        .toSorted(),
      ['Kafka', 'ZooKeeper'],
    );
    assert.deepEqual(
      [plan.zookeeperAddress(), plan.zookeeperHosts(), plan.kafkaBrokers(), supervisor.processes()],
      [null, null, null, []],
    );
    await supervisor.stop();
  });

  it('nodes that elect with ZooKeeper need it to start', async () => {
    const { layout, plan } = await planFor({ zookeeper: 1, kafka: 0 }, { election: 'zookeeper' });
    writeFileSync(layout.zookeeperDir, '');
    const { supervisor } = supervise(plan.stages);
    await assert.rejects(supervisor.start(), { code: 'process.start_failed' });
    await supervisor.stop();
  });

  it('external ZooKeeper and Kafka are used as they are and never started', async () => {
    const own = { zookeeperHosts: 'zk-1:2181,zk-2:2181', kafkaBrokers: 'kafka:9092' };
    const { plan } = await planFor({ zookeeper: 3, kafka: 1 }, own);
    assert.deepEqual(
      plan.stages.flatMap(({ specs }) => specs),
      [],
    );
    await Promise.resolve();
    assert.deepEqual([plan.zookeeperHosts(), plan.kafkaBrokers()], [own.zookeeperHosts, own.kafkaBrokers]);
  });
});
