import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { readMeshConfig, type MeshConfig } from '../../config.ts';
import { layoutOf } from '../../mesh/files/layout.ts';
import { planImages, type ImageServers } from './images-plan.ts';

const home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-plan-'));
after(() => rmSync(home, { recursive: true, force: true }));

function plan(servers: Partial<ImageServers>, images = [7001, 7002, 7003], over: Partial<MeshConfig> = {}) {
  const options = {
    name: 'second',
    layout: layoutOf(home, 'second'),
    equalizers: 2,
    config: { ...readMeshConfig({}), home, ...over },
    ports: { mqtt: 1, http: 2, postgres: 3, nodes: [], images },
    fleetDevices: 0,
    proxied: false,
    payments: false,
    extraEnv: {},
    notice: () => undefined,
  };
  return planImages(options, {
    zookeeperHosts: () => 'zk:2181',
    kafkaBrokers: () => 'kafka:9092',
    up: Promise.resolve(true),
    ...servers,
  });
}

describe('the plan of the image part', () => {
  it("an equalizer node keeps the starter's options and hides a warning of its library", async () => {
    const root = path.join(home, 'repository');
    const script = path.join(root, 'services/equalizer/src/main.ts');
    mkdirSync(path.dirname(script), { recursive: true });
    writeFileSync(script, 'setTimeout(() => console.log(process.env), -1);');
    const spec = plan({}, undefined, { root, environment: { NODE_OPTIONS: '--no-deprecation' } }).stage
      .specs[0];
    assert.ok(spec);
    const { exited } = await spec.launch(1);
    assert.equal((await exited).code, 0);
    const log = readFileSync(spec.logFile, 'utf8');
    assert.match(log, /NODE_OPTIONS: '--no-deprecation --disable-warning=/);
    assert.match(log, /MALLOC_ARENA_MAX: '2'/);
    assert.doesNotMatch(log, /TimeoutNegativeWarning:/);
  });

  it('ports of an earlier, larger start do not add equalizer nodes', () => {
    const { stage } = plan({});
    assert.deepEqual(
      stage.specs.map(({ name, url }) => [name, url]),
      [
        ['equalizer-1', 'http://127.0.0.1:7001'],
        ['equalizer-2', 'http://127.0.0.1:7002'],
      ],
    );
    assert.throws(() => plan({}, []), { code: 'mesh.start_failed' });
  });

  it('without ZooKeeper or Kafka the image part is off with a reason, without waiting', async () => {
    const { stage } = plan({ up: Promise.resolve(false) });
    assert.equal(stage.part, 'images');
    assert.equal(stage.late, true);
    await assert.rejects(async () => stage.before?.(), /needs ZooKeeper and Kafka/);
  });

  it('the gateway knows the planned addresses and where nodes register', () => {
    const urls = 'http://127.0.0.1:7001,http://127.0.0.1:7002';
    assert.deepEqual(plan({}).gatewayEnv(), {
      EQUALIZER_URLS: urls,
      ZOOKEEPER_HOSTS: 'zk:2181',
      SERVICES_PATH: '/thermomesh/second/services',
    });
    assert.deepEqual(plan({ zookeeperHosts: () => null }).gatewayEnv(), { EQUALIZER_URLS: urls });
  });
});
