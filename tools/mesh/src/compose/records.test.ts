import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Container } from './engine-api.ts';
import { isReady, runOf } from './records.ts';

const databaseUrl = 'postgresql://thermomesh:pw@postgres:5432/thermomesh';

function container(service: string, more: Partial<Container['State']> = {}, port?: string): Container {
  const bindings =
    port === undefined ? {} : { [port.split(':')[1] ?? '']: [{ HostPort: port.split(':')[0] ?? '' }] };
  return {
    Id: service,
    Created: '',
    RestartCount: 0,
    State: {
      Running: true,
      Paused: false,
      Pid: 7,
      StartedAt: 'then',
      Health: { Status: 'healthy' },
      ...more,
    },
    Config: { Labels: { 'com.docker.compose.service': service } },
    HostConfig: { PortBindings: bindings },
    NetworkSettings: { Ports: {}, Networks: {} },
  };
}

const outside = (containers: Container[]) => runOf({ project: 'p', containers, inside: false, databaseUrl });

describe('containers as processes', () => {
  it('a dead container keeps its fixed address and has no pid', () => {
    const run = outside([container('node-1', { Running: false }, '9001:8081/tcp')]);
    const [node] = run.processes;
    assert.deepEqual(
      [node?.name, node?.pid, node?.url, node?.ready],
      ['node-1', null, 'http://127.0.0.1:9001', false],
    );
  });

  it('the database has its published address and its inner password', () => {
    const run = outside([container('postgres', {}, '9002:5432/tcp')]);
    assert.equal(run.databaseUrl, 'postgresql://thermomesh:pw@127.0.0.1:9002/thermomesh');
    assert.equal(outside([]).databaseUrl, null);
  });

  it('inside a container, parts have their names on the network of their kind', () => {
    const run = runOf({ project: 'p', containers: undefined, inside: true, databaseUrl });
    assert.equal(run.mqttUrl, 'mqtt://gateway.front:1883');
    assert.equal(run.databaseUrl, databaseUrl);
    assert.equal(run.processes.find(({ name }) => name === 'node-3')?.url, 'http://node-3.mesh:8081');
  });

  it('a container that is paused or not yet healthy is not ready', () => {
    assert.equal(isReady(container('redis')), true);
    assert.equal(isReady(container('fleet', { Health: null })), true);
    assert.equal(isReady(container('redis', { Health: { Status: 'starting' } })), false);
    assert.equal(isReady(container('redis', { Paused: true })), false);
  });

  it('a project whose containers have all ended is stopped', () => {
    assert.equal(outside([container('gateway', { Running: false })]).state, 'stopped');
    assert.equal(outside([container('gateway'), container('redis', { Running: false })]).state, 'running');
  });
});
