import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { openLink, passing, type Link } from '@thermomesh/links';
import { codeOf } from '@thermomesh/runtime';
import { secret, startGateway, until, type Gateway } from '../testing.ts';
import { createMqttProbe, type MqttProbe } from './mqtt-probe.ts';

const answerMs = 5_000;
/** For looks that cannot be answered. */
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

describe('the look at the gateway', () => {
  it('is answered, again and again on one connection', async () => {
    const probe = open(1);
    for (let look = 0; look < 3; look++) await probe.ask(answerMs);
    assert.equal(link.connections(), 1);
  });

  it('a-link-on-which-only-TCP-handshakes-succeed is no gateway, for a new look as for one that was answered before', async () => {
    const asked = open(1);
    await asked.ask(answerMs);
    await link.set({ ...passing, state: 'stall' });
    await assert.rejects(asked.ask(noAnswerMs), (error) => codeOf(error) === 'mqtt.timeout');
    await assert.rejects(open(2).ask(noAnswerMs));
    await link.set(passing);
    await asked.ask(answerMs);
  });

  it('a-link-that-is-cut fails at once and is good again when it heals', async () => {
    const probe = open(1);
    await probe.ask(answerMs);
    await link.set({ ...passing, state: 'cut' });
    await assert.rejects(probe.ask(answerMs));
    await assert.rejects(probe.ask(answerMs), (error) => codeOf(error) === 'mqtt.unreachable');
    await link.set(passing);
    await probe.ask(answerMs);
  });

  it('a-gateway-that-refuses-this-node fails the look', async () => {
    const stranger = open(1, 'another secret, which this gateway has never heard of');
    await assert.rejects(stranger.ask(answerMs), (error) => codeOf(error) === 'mqtt.refused');
  });

  it('leaves no connection behind when it is closed, also in the middle of the first look', async () => {
    const probe = open(1);
    const look = probe.ask(answerMs);
    probe.close();
    await look;
    await until('the gateway to have let go', () => link.connections() === 0);
  });
});
