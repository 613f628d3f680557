import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import path from 'node:path';
import { promisify } from 'node:util';
import { startMesh, until, type MeshHandle } from '@thermomesh/mesh/testing';
import { findMosquittoClients, type MosquittoClients } from '@thermomesh/servers';
import { reading, waitMs } from './support.ts';

const run = promisify(execFile);
let mesh: MeshHandle;
let clients: MosquittoClients;

before(async () => {
  const found = await findMosquittoClients(
    path.resolve(import.meta.dirname, '../../.mesh/tools'),
    process.env['PATH'] ?? '',
  );
  if ('missing' in found) throw new Error(found.missing);
  clients = found;
  mesh = await startMesh({ nodes: 1 });
});
after(() => mesh?.remove());

const address = () => ['-h', '127.0.0.1', '-p', new URL(mesh.mqttUrl).port];
const login = (deviceId: string) => ['-u', deviceId, '-P', mesh.deviceToken(deviceId)];
const operator = () => ['-u', 'operator', '-P', mesh.operatorToken];
const env = () => ({ ...process.env, ...clients.env });
const pub = (...args: string[]) => run(clients.pub, [...address(), ...args], { env: env(), timeout: waitMs });
const sub = (...args: string[]) => run(clients.sub, [...address(), ...args], { env: env(), timeout: waitMs });

describe('mosquitto’s clients', () => {
  it('a mosquitto client logs in, and its QoS 1 reading is stored', async () => {
    await pub(...login('m1'), '-i', 'm1', '-q', '1', '-t', 'thermostat/data/m1', '-m', reading('m1', 1));
    await mesh.drained();
    assert.deepEqual(await mesh.sql.query('SELECT seq FROM readings WHERE device_id = $1', ['m1']), [
      { seq: 1 },
    ]);
  });

  it('a wrong password, no login and another device’s topic are refused', async () => {
    const topic = ['-q', '1', '-t', 'thermostat/data/m2', '-m', 'x'];
    await assert.rejects(pub('-u', 'm2', '-P', 'wrong', '-i', 'm2', ...topic));
    await assert.rejects(pub('-i', 'm2', ...topic));
    const { counters } = await mesh.broker();
    await pub(...login('m1'), '-i', 'm1', ...topic).catch(() => undefined);
    assert.equal((await mesh.broker()).counters.accepted, counters.accepted);
  });

  it('a retained message reaches a later subscriber, also after a gateway kill', async () => {
    await pub(...login('m3'), '-i', 'm3', '-q', '1', '-r', '-t', 'thermostat/status/m3', '-m', 'online');
    const get = () => sub(...operator(), '-q', '1', '-t', 'thermostat/status/m3', '-C', '1', '-W', '20');
    assert.equal((await get()).stdout, 'online\n');
    const killed = await mesh.kill('gateway');
    await mesh.whole(killed);
    assert.equal((await get()).stdout, 'online\n');
  });

  it('a persistent session gets missed messages in order, also after a gateway kill', async () => {
    const session = [...operator(), '-i', 'watcher', '-c', '-q', '1', '-t', 'thermostat/status/#'];
    await sub(...session, '-E');
    for (let n = 0; n < 20; n++)
      await pub(...login('m4'), '-i', 'm4', '-q', '1', '-t', 'thermostat/status/m4', '-m', String(n));
    const killed = await mesh.kill('gateway');
    await mesh.whole(killed);
    const { stdout } = await sub(...session, '-R', '-C', '20', '-W', '30');
    assert.deepEqual(
      stdout.trim().split('\n'),
      Array.from({ length: 20 }, (_, n) => String(n)),
    );
  });

  it('the coordinator’s announcement is retained for mosquitto clients', async () => {
    const { stdout } = await sub(
      ...operator(),
      '-q',
      '1',
      '-t',
      'mesh/analytics/coordinator',
      '-C',
      '1',
      '-W',
      '20',
    );
    const { node, epoch } = await mesh.coordinator();
    const announced = JSON.parse(stdout) as { node: number; epoch: number };
    assert.deepEqual([announced.node, announced.epoch], [node, epoch]);
  });

  it('a live subscriber sees readings as they are published', async () => {
    const got = sub(...operator(), '-q', '1', '-t', 'thermostat/data/m5', '-C', '1', '-W', '30');
    let seen: string | undefined;
    got.then(
      ({ stdout }) => (seen = stdout),
      () => (seen = ''),
    );
    // The client does not report its subscription, so publish readings until it has seen one.
    let seq = 0;
    await until({ what: 'a reading to be seen', timeoutMs: waitMs, pollMs: 200 }, async () => {
      if (seen !== undefined) return true;
      await pub(...login('m5'), '-i', 'm5', '-q', '1', '-t', 'thermostat/data', '-m', reading('m5', seq++));
      return undefined;
    });
    const { stdout } = await got;
    assert.equal((JSON.parse(stdout) as { deviceId: string }).deviceId, 'm5');
  });
});
