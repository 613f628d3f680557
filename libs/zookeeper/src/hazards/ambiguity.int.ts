/** On one server: answers that are lost, nodes that vanish in between, processes that are stopped, a server that dies. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach } from 'node:test';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { hazards } from '../conformance/hazards.ts';
import { lostAnswers } from '../conformance/lost-answers.ts';
import { TestClients, testServers } from '../testing/clients.ts';
import { revive } from '../testing/looks.ts';

let ensemble: TestEnsemble;
let clients: TestClients;
before(async () => {
  ensemble = await testZooKeeper(testServers);
  clients = new TestClients(ensemble.hosts);
});
after(async () => ensemble.remove());
beforeEach(async () => revive(ensemble));
afterEach(async () => {
  await clients.closeAll();
  assert.deepEqual(clients.faults, []);
});

lostAnswers('one server', () => clients);
hazards('one server', () => ({ ensemble, clients }));
