import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { codeOf, createLog } from '@thermomesh/runtime';
import { loadFleetMemory, saveFleetMemory } from '../adapters/state-file.ts';
import { temporaryFolder, until } from '@thermomesh/testing';
import { secret, startGateway, startWire } from '../testing.ts';
import { listLedgers, readLedger } from '@thermomesh/ledger';
import { createFleet, type SimulateOptions } from './service.ts';

const log = createLog('test', 'silent');
const optionsOf = (port: number, folder: string, other: Partial<SimulateOptions> = {}): SimulateOptions => ({
  host: '127.0.0.1',
  port,
  secret,
  devices: 3,
  prefix: 'room',
  stateFile: path.join(folder, 'fleet.json'),
  intervalMs: 20,
  window: 4,
  keptReadingsMax: 1000,
  skewMs: 1000,
  driftPpm: 100,
  offlineRatio: 0,
  offlineMs: 1000,
  stopTimeoutMs: 20_000,
  seed: 1,
  ledgerFolder: undefined,
  ledgerBytesMax: 1024 * 1024,
  mesh: '',
  ...other,
});

describe('the simulated fleet and the real gateway', () => {
  it('a restarted fleet continues with the next seq and owes nothing', async () => {
    await using data = await temporaryFolder('data');
    await using gateway = await startGateway(data.folder);
    const options = optionsOf(gateway.mqttPort, data.folder);
    let next = [0, 0, 0];
    for (let round = 0; round < 2; round++) {
      const fleet = createFleet(options, log);
      await fleet.start();
      await until('acks', () => fleet.counts().acked >= 15);
      await fleet.stop();
      const { made, acked, kept } = fleet.counts();
      assert.deepEqual([acked, kept], [made, 0]);
      const memory = await loadFleetMemory(options.stateFile);
      const after = Object.values(memory).map(({ nextSeq }) => nextSeq);
      assert.equal(after.reduce((sum, seq) => sum + seq, 0) - next.reduce((sum, seq) => sum + seq, 0), made);
      next = after;
    }
  });

  it('the ledger of a fleet tells what was sent and acknowledged, over a restart', async () => {
    await using data = await temporaryFolder('data');
    await using gateway = await startGateway(data.folder);
    const ledgerFolder = path.join(data.folder, 'ledgers');
    const options = optionsOf(gateway.mqttPort, data.folder, { ledgerFolder });
    let made = 0;
    for (let round = 0; round < 2; round++) {
      const fleet = createFleet(options, log);
      await fleet.start();
      await until('acks', () => fleet.counts().acked >= 15);
      await fleet.stop();
      made += fleet.counts().made;
    }
    const ledgers = await Promise.all((await listLedgers(ledgerFolder)).map(readLedger));
    assert.equal(ledgers.length, 2);
    assert.ok(ledgers.every(({ header, end }) => header.partial === true && end !== null));
    const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
    assert.deepEqual([sum(ledgers.map(({ acked }) => acked)), made >= 30], [made, true]);
  });

  it('a fleet that lost its memory takes the next incarnation and counts from 0', async () => {
    await using data = await temporaryFolder('data');
    await using gateway = await startGateway(data.folder);
    const options = optionsOf(gateway.mqttPort, data.folder);
    await saveFleetMemory(options.stateFile, { 'room-1': { nextSeq: 5000, kept: [] } });
    for (const incarnation of [1, 2]) {
      const fleet = createFleet({ ...options, reset: true }, log);
      await fleet.start();
      await until('acks', () => fleet.counts().acked >= 9);
      await fleet.stop();
      const memory = (await loadFleetMemory(options.stateFile))['room-1'];
      assert.equal(memory?.incarnation, incarnation);
      assert.ok(memory.nextSeq > 0 && memory.nextSeq < 5000, `next seq ${memory.nextSeq}`);
    }
  });

  it('readings without a broker survive restarts and are sent later', async () => {
    await using data = await temporaryFolder('data');
    const gone = await startGateway(data.folder);
    await gone.kill();
    const options = optionsOf(gone.mqttPort, data.folder);
    const alone = createFleet(options, log);
    await alone.start();
    await until('readings', () => alone.counts().made >= 12);
    await alone.stop();
    const { kept } = alone.counts();
    assert.equal(kept, alone.counts().made);

    await using _ = await startGateway(data.folder, gone.mqttPort);
    const fleet = createFleet(options, log);
    await fleet.start();
    assert.ok(fleet.counts().kept >= kept);
    await until('back-fill', () => fleet.counts().acked >= kept);
    await fleet.stop();
    assert.deepEqual([fleet.counts().kept, fleet.counts().acked], [0, kept + fleet.counts().made]);
  });

  it('the window limits readings in flight, a cut connection loses none', async () => {
    await using data = await temporaryFolder('data');
    await using gateway = await startGateway(data.folder);
    await using wire = await startWire(gateway.mqttPort);
    wire.holdAcks();
    const fleet = createFleet(optionsOf(wire.port, data.folder), log);
    await fleet.start();
    await until('more readings than fit the windows', () => fleet.counts().made >= 40);
    assert.ok(wire.published.every((flags) => flags.length <= 4));
    wire.cut();
    wire.release();
    await until('acks after the cut', () => fleet.counts().acked >= 40);
    await fleet.stop();
    // A device that had no connection at the stop keeps its readings for the next start.
    const { made, acked, kept, dropped } = fleet.counts();
    assert.deepEqual([acked + kept, dropped], [made, 0]);
  });
});

describe('the state file', () => {
  it('a damaged state file stops the fleet before it uses a seq twice', async () => {
    await using data = await temporaryFolder('state');
    const file = path.join(data.folder, 'fleet.json');
    for (const damage of [
      '',
      '{',
      '{"format":"other","devices":{}}',
      '{"format":"thermomesh.fleet.v1","devices":{"a":{"nextSeq":"1"}}}',
    ]) {
      await writeFile(file, damage);
      await assert.rejects(loadFleetMemory(file), (error) => codeOf(error) === 'fleet.state_damaged');
    }
  });

  it('the state file is replaced atomically, half a successor is ignored', async () => {
    await using data = await temporaryFolder('state');
    const file = path.join(data.folder, 'deep', 'fleet.json');
    assert.deepEqual(await loadFleetMemory(file), {});
    await saveFleetMemory(file, { a: { nextSeq: 7, kept: [] } });
    await writeFile(`${file}.new`, '{"format":"thermomesh.fl');
    assert.deepEqual(await loadFleetMemory(file), { a: { nextSeq: 7, kept: [] } });
  });

  it('the state file keeps devices that the present fleet does not have', async () => {
    await using data = await temporaryFolder('state');
    const options = optionsOf(1, data.folder, { devices: 1, stopTimeoutMs: 0 });
    await mkdir(data.folder, { recursive: true });
    await saveFleetMemory(options.stateFile, { 'room-9': { nextSeq: 99, kept: [] } });
    const fleet = createFleet(options, log);
    await fleet.start();
    await fleet.stop();
    const memory = JSON.parse(await readFile(options.stateFile, 'utf8')) as {
      devices: Record<string, { nextSeq: number }>;
    };
    assert.equal(memory.devices['room-9']?.nextSeq, 99);
  });
});
