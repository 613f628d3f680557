/** Checks that the files about the containers agree with each other. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { kafkaSettings } from '@thermomesh/servers';
import { groups } from './secret-files.ts';
import { composeServices, secretsService } from './topology.ts';

const root = path.resolve(import.meta.dirname, '../../../..');
const text = (file: string) => readFileSync(path.join(root, file), 'utf8');
const composeFile = text('docker-compose.yml');
const service = (name: string) =>
  new RegExp(`\\n  ${name}:\\n((?:    .*\\n|\\n)*)`).exec(composeFile)?.[1] ?? '';

/** Finds the settings that services share under a YAML anchor. */
const anchor = (name: string) => new RegExp(`\\nx-${name}:([^]*?)\\n\\n`).exec(composeFile)?.[1] ?? '';

describe('the Compose file', () => {
  it('the Compose file has every container that the tools ask for', () => {
    for (const { name } of [...composeServices, { name: secretsService }])
      assert.notEqual(service(name), '', `docker-compose.yml has no service ${name}`);
  });

  it('the Compose file gives each container the name by which the tools reach it', () => {
    for (const { name, host } of composeServices) {
      if (host === undefined || host === name) continue;
      assert.match(
        service(name),
        new RegExp(`aliases: \\[(.*, )?${host.replace('.', '\\.')}(,.*)?\\]`),
        name,
      );
    }
  });

  it('the Compose file publishes nothing beyond loopback', () => {
    const published = [...composeFile.matchAll(/'([^']*\$\{[A-Z0-9_]*PORT:-\d+\}:\d+)'/g)].map(
      ([, port]) => port,
    );
    assert.ok(published.length >= 8);
    for (const port of published) assert.match(port ?? '', /^127\.0\.0\.1:/);
  });

  it('the Compose file uses no external name server', () => {
    assert.match(anchor('hardened'), /\n {2}dns: \['127\.0\.0\.1'\]\n/);
    const ours = composeServices.filter(({ role }) => !['postgres', 'redis', 'zookeeper'].includes(role));
    for (const { name } of ours) {
      const [, base = ''] = /<<: \*([a-z]+)/.exec(service(name)) ?? [];
      assert.ok(base === 'hardened' || anchor(base).includes('<<: *hardened'), name);
    }
  });

  it('the Compose file gives containers only groups of secrets that exist', () => {
    const known = Object.values(groups).map(String);
    const used = [...composeFile.matchAll(/'(200\d\d)'/g)].map(([, group]) => group ?? '');
    assert.ok(used.length > 10);
    assert.deepEqual([...new Set(used.filter((group) => !known.includes(group)))], []);
  });

  it('every setting of the Compose file is in the example with the same default', () => {
    const example = new Map(
      text('.env.example')
        .split('\n')
        .filter((line) => /^[A-Z]/.test(line))
        .map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1)]),
    );
    const used = new Map(
      [...composeFile.matchAll(/\$\{([A-Z0-9_]+):-([^}]*)\}/g)].map(([, name, value]) => [name, value]),
    );
    assert.deepEqual(Object.fromEntries([...used].sort()), Object.fromEntries([...example].sort()));
  });
});

describe('pinned images', () => {
  it('pinned images are the same in the Compose file, Dockerfiles and stand-ins', () => {
    const standIns = text('tools/docker/images.mjs');
    for (const name of ['NODE', 'JAVA', 'MAVEN', 'POSTGRES', 'REDIS', 'ZOOKEEPER', 'PROMETHEUS']) {
      const pinned = new RegExp(`\\$\\{${name}_IMAGE:-([^}]*)\\}`).exec(composeFile)?.[1] ?? '';
      assert.match(pinned, /^[a-z/-]+:[^:]*\d/, `${name} is pinned`);
      assert.ok(standIns.includes(`'${pinned}'`), `images.mjs knows ${pinned}`);
      for (const file of ['Dockerfile', 'tools/docker/kafka/Dockerfile']) {
        const own = new RegExp(`ARG ${name}_IMAGE=(.*)`).exec(text(file))?.[1];
        if (own !== undefined) assert.equal(own, pinned, file);
      }
    }
    const { devDependencies } = JSON.parse(text('package.json')) as {
      devDependencies: Record<string, string>;
    };
    assert.ok(composeFile.includes(`node:${devDependencies['node']}-`), 'the Node of package.json');
  });

  it('pinned images run Kafka with the settings of the local mesh', () => {
    const lines = text('tools/docker/kafka/server.properties').split('\n');
    const settings = lines
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split('='));
    assert.deepEqual(Object.fromEntries(settings), kafkaSettings(3));
  });
});

describe('the dashboard', () => {
  it('dashboard and alerts name only metrics that some process has', () => {
    const sources = globSync('{services,apps,libs}/*/src/**/*.ts', { cwd: root })
      .filter((file) => !/\.(test|int)\.ts$/.test(file))
      .map((file) => text(file))
      .join('\n');
    const namesIn = (file: string) => [
      ...text(`tools/docker/metrics/${file}`).matchAll(/thermomesh_([a-z0-9_]+)/g),
    ];
    const [shown, alerts] = [namesIn('grafana/dashboards/thermomesh.json'), namesIn('alerts.yml')];
    assert.ok(shown.length > 10 && alerts.length > 5);
    for (const [, name = ''] of [...shown, ...alerts])
      assert.ok(sources.includes(`'${name.replace(/_bucket$/, '')}'`), `no process has thermomesh_${name}`);
  });
});
