import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import type { BrokerDocument } from '@thermomesh/contracts';
import { readLedger } from '@thermomesh/ledger';
import { codeOf, deriveToken, subjects } from '@thermomesh/runtime';
import { temporaryFolder, until } from '@thermomesh/testing';
import { secret, startGateway, startWire, thermostatMain } from '../testing.ts';
import type { LoadSummary } from './report.ts';
import { startLoad, type LoadObserver, type LoadOptions } from './service.ts';

const quiet: LoadObserver = { onReady: () => undefined, onProgress: () => undefined };

const optionsOf = (port: number, ledgerFolder: string, other: Partial<LoadOptions>): LoadOptions => ({
  host: '127.0.0.1',
  port,
  secret,
  ledgerFolder,
  mesh: '',
  runId: 'test',
  seed: 1,
  devices: 10,
  rate: 200,
  seconds: 1,
  qos: 1,
  window: 20,
  burst: 1,
  skewSeconds: 0,
  offlineRatio: 0,
  backfillMinutes: 0,
  stormSeconds: 0,
  poisonRatio: 0,
  ackTimeoutMs: 60_000,
  connectTimeoutMs: 30_000,
  ...other,
});

const resendsOf = (flags: number[]) => flags.filter((flag) => (flag & 8) !== 0).length;

describe('the load generator and the real gateway', () => {
  it('every reading, poison included, is acknowledged and in the ledger', async () => {
    await using data = await temporaryFolder('data');
    await using gateway = await startGateway(data.folder);
    const options = optionsOf(gateway.mqttPort, path.join(data.folder, 'ledgers'), { poisonRatio: 0.2 });
    const summary = await startLoad(options, quiet).done;
    assert.deepEqual([summary.sent, summary.acked, summary.unacked, summary.reconnects], [200, 200, 0, 0]);
    assert.ok(summary.poisoned > 0);
    const ledger = await readLedger(summary.ledger);
    assert.deepEqual(
      [ledger.sent, ledger.acked, ledger.poisoned, ledger.torn],
      [200, 200, summary.poisoned, false],
    );
    assert.equal((await brokerOf(gateway.httpPort)).counters.accepted, 200);
  });

  it('a device keeps to its window and sends it again with DUP after a cut', async () => {
    await using data = await temporaryFolder('data');
    await using gateway = await startGateway(data.folder);
    await using wire = await startWire(gateway.mqttPort);
    wire.holdAcks();
    const options = optionsOf(wire.port, data.folder, { devices: 4, rate: 400, seconds: 1, window: 5 });
    const running = startLoad(options, quiet);
    // 100 readings per device are due, but only as many as the window holds may leave.
    await until('full windows', () => wire.published.filter((flags) => flags.length === 5).length === 4);
    const ledgerFile = path.join(data.folder, 'test.ledger');
    await until('the end of sending', async () => {
      assert.ok(wire.published.every((flags) => flags.length <= 5));
      const ledger = await readLedger(ledgerFile);
      return ledger.sent === 20;
    });
    wire.cut();
    await until(
      'resends',
      () => wire.published.slice(4).filter((flags) => resendsOf(flags) === 5).length === 4,
    );
    wire.release();
    const summary = await running.done;
    assert.equal(summary.unacked, 0);
    assert.ok(summary.resent >= 20 && summary.reconnects >= 4);
  });

  it('readings that a killed gateway did not acknowledge are sent again', async () => {
    await using data = await temporaryFolder('data');
    let gateway = await startGateway(data.folder);
    await using wire = await startWire(gateway.mqttPort);
    const killing = Promise.withResolvers<void>();
    const options = optionsOf(wire.port, data.folder, {
      devices: 20,
      rate: 1000,
      seconds: 4,
      offlineRatio: 0.1,
    });
    const running = startLoad(options, { onReady: () => undefined, onProgress: () => killing.resolve() });
    await Promise.race([killing.promise, running.done]);
    // Acknowledgements are held, so that readings are in flight when the gateway dies.
    wire.holdAcks();
    await until('readings in flight', async () => {
      const ledger = await readLedger(path.join(data.folder, 'test.ledger'));
      return ledger.sent > ledger.acked + 20;
    });
    await gateway.kill();
    wire.release();
    gateway = await startGateway(data.folder, gateway.mqttPort);
    await using _ = gateway;
    const summary = await running.done;
    assert.deepEqual([summary.unacked, summary.acked === summary.sent], [0, true]);
    assert.ok(summary.resent >= 20);
    const ledger = await readLedger(summary.ledger);
    assert.deepEqual([ledger.acked, ledger.resent], [summary.sent, summary.resent]);
    // I1: readings that were acknowledged before the kill are still there; readings that were sent
    // again may be there twice.
    const { counters } = await brokerOf(gateway.httpPort);
    assert.ok(counters.accepted >= summary.sent && counters.accepted <= summary.sent + summary.resent);
  });

  it('a fleet that was offline for an hour sends all kept readings', async () => {
    await using data = await temporaryFolder('data');
    await using gateway = await startGateway(data.folder);
    const storm = { devices: 50, rate: 50, backfillMinutes: 60, stormSeconds: 0.5 };
    const summary = await startLoad(optionsOf(gateway.mqttPort, data.folder, storm), quiet).done;
    assert.deepEqual([summary.sent, summary.acked, summary.reconnects], [50 * 60 + 50, 50 * 60 + 50, 0]);
    const { entries, header } = await readLedger(summary.ledger);
    const minutes = Array.from({ length: 61 }, (_, number) => {
      const at = entries.find(7, number);
      return Math.floor(((entries.measuredAtMs[at] ?? NaN) - header.startedAtMs) / 60_000);
    });
    assert.deepEqual(
      minutes,
      Array.from({ length: 61 }, (_, number) => number - 60),
    );
  });

  it('wrong credentials end a storm too', async () => {
    await using data = await temporaryFolder('data');
    await using gateway = await startGateway(data.folder);
    const options = optionsOf(gateway.mqttPort, data.folder, {
      secret: 'not the secret of this mesh, but as long as one',
      stormSeconds: 0.1,
    });
    await assert.rejects(startLoad(options, quiet).done, (error) => codeOf(error) === 'load.refused');
    assert.equal((await readLedger(path.join(data.folder, 'test.ledger'))).sent, 0);
  });

  it('wrong credentials end the run at once with a reason', async () => {
    await using data = await temporaryFolder('data');
    await using gateway = await startGateway(data.folder);
    const options = optionsOf(gateway.mqttPort, data.folder, {
      secret: 'not the secret of this mesh, but as long as one',
    });
    await assert.rejects(startLoad(options, quiet).done, (error) => codeOf(error) === 'load.refused');
  });
});

describe('the load generator as a process', () => {
  const spawnLoad = (port: number, folder: string) => {
    const child = spawn(
      process.execPath,
      [
        thermostatMain,
        'load',
        '--mqtt-url',
        `mqtt://127.0.0.1:${port}`,
        '--devices',
        '5',
        '--rate',
        '500',
        '--seconds',
        '600',
      ].concat(['--run-id', 'child', '--ledger', folder, '--json']),
      { env: { MESH_SECRET: secret }, stdio: ['ignore', 'pipe', 'ignore', 'ipc'] },
    );
    const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
    const early = exit.then(([code]) => assert.fail(`the load ended with ${code} before it was ready`));
    early.catch(() => undefined);
    const ready = Promise.race([once(child, 'message'), early]);
    return {
      child,
      exit,
      stdout: child.stdout === null ? Promise.resolve('') : text(child.stdout),
      ready,
    };
  };
  const ledgerHas = async (file: string, acked: number) => (await readLedger(file)).acked >= acked;

  it('SIGTERM awaits acknowledgements, closes the ledger, prints the summary', async () => {
    await using data = await temporaryFolder('data');
    await using gateway = await startGateway(data.folder);
    const { child, exit, stdout, ready } = spawnLoad(gateway.mqttPort, data.folder);
    const [message] = (await ready) as [{ ready: boolean; ledger: string }];
    await until('acks', () => ledgerHas(message.ledger, 50));
    child.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
    const summary = JSON.parse(await stdout) as LoadSummary;
    assert.deepEqual([summary.interrupted, summary.unacked, summary.ledger], [true, 0, message.ledger]);
    const ledger = await readLedger(message.ledger);
    assert.deepEqual([ledger.end?.interrupted, ledger.acked], [true, summary.sent]);
  });

  it('a killed run leaves a readable ledger', async () => {
    await using data = await temporaryFolder('data');
    await using gateway = await startGateway(data.folder);
    const { child, exit, ready } = spawnLoad(gateway.mqttPort, data.folder);
    const [message] = (await ready) as [{ ready: boolean; ledger: string }];
    await until('acks', () => ledgerHas(message.ledger, 50));
    child.kill('SIGKILL');
    await exit;
    const ledger = await readLedger(message.ledger);
    assert.equal(ledger.end, null);
    // No reading is published before its line is in the ledger, so the ledger has all readings of
    // the gateway.
    assert.ok((await brokerOf(gateway.httpPort)).counters.accepted <= ledger.sent);
  });
});

async function brokerOf(httpPort: number): Promise<BrokerDocument> {
  const response = await fetch(`http://127.0.0.1:${httpPort}/v1/broker`, {
    headers: { authorization: `Bearer ${deriveToken(secret, subjects.operator)}` },
  });
  assert.equal(response.status, 200);
  return (await response.json()) as BrokerDocument;
}
