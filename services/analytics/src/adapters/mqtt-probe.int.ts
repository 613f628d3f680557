import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { openLink, passing, type Link } from '@thermomesh/links';
import { codeOf } from '@thermomesh/runtime';
import { until } from '@thermomesh/testing';
import { secret, startGateway, type Gateway } from '../testing.ts';
import { createMqttProbe, type MqttProbe } from './mqtt-probe.ts';

const answerMs = 5_000;
/** Time limit for probes that get no answer. */
const noAnswerMs = 100;
let gateway: Gateway;
let link: Link;
let probes: MqttProbe[] = [];

before(async () => {
  gateway = await startGateway();
  link = await openLink({ name: 'node:gateway', port: 0, target: gateway.address });
});
after(async () => {
  await link.close();
  await gateway.remove();
});
afterEach(async () => {
  for (const probe of probes) probe.close();
  probes = [];
  await link.set(passing);
});

function open(nodeId: number, token = secret): MqttProbe {
  const probe = createMqttProbe({ host: '127.0.0.1', port: link.port }, nodeId, token);
  probes.push(probe);
  return probe;
}

describe('the probe of the gateway', () => {
  it('repeated probes are answered on one connection', async () => {
    const probe = open(1);
    for (let round = 0; round < 3; round++) await probe.ask(answerMs);
    assert.equal(link.connections(), 1);
  });

  it('a link on which only TCP handshakes succeed fails the probe', async () => {
    const asked = open(1);
    await asked.ask(answerMs);
    await link.set({ ...passing, state: 'stall' });
    await assert.rejects(asked.ask(noAnswerMs), (error) => codeOf(error) === 'mqtt.timeout');
    await assert.rejects(open(2).ask(noAnswerMs));
    await link.set(passing);
    await asked.ask(answerMs);
  });

  it('a cut link fails the probe at once, a healed link passes it', async () => {
    const probe = open(1);
    await probe.ask(answerMs);
    await link.set({ ...passing, state: 'cut' });
    await assert.rejects(probe.ask(answerMs));
    await assert.rejects(probe.ask(answerMs), (error) => codeOf(error) === 'mqtt.unreachable');
    await link.set(passing);
    await probe.ask(answerMs);
  });

  it('a gateway that refuses this node fails the probe', async () => {
    const stranger = open(1, 'another secret, which this gateway has never heard of');
    await assert.rejects(stranger.ask(answerMs), (error) => codeOf(error) === 'mqtt.refused');
  });

  it('a probe that is closed during its first round leaves no connection', async () => {
    const probe = open(1);
    const asking = probe.ask(answerMs);
    probe.close();
    await asking;
    await until('the gateway to close the connection', () => link.connections() === 0);
  });
});
