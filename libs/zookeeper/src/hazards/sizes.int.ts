/** How many servers of an ensemble may die. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testEnsemble } from '@thermomesh/servers';
import { Lock } from '../recipes/locks/lock.ts';
import { TestClients, testServers } from '../testing/clients.ts';
import { leaderOf } from '../testing/looks.ts';

const sizes = [
  { servers: 5, dead: 2 },
  { servers: 7, dead: 3 },
] as const;

describe('an ensemble', () => {
  for (const { servers, dead } of sizes) {
    it(`an ensemble of ${servers} survives ${dead} deaths, its leader's among them`, async () => {
      const ensemble = await testEnsemble({ ...testServers, servers, heapMb: 64 });
      try {
        const clients = new TestClients(() => ensemble.hosts);
        const zk = await clients.connect();
        const lock = new Lock(zk, '/locks/one').start();
        const before = await lock.use(async ({ epoch }) => epoch);
        const leader = await leaderOf(ensemble);
        const others = ensemble.members.filter((member) => member !== leader).slice(0, dead - 1);
        await Promise.all([leader, ...others].map(async (member) => member.kill()));
        const after = await lock.use(async ({ epoch }) => epoch, { timeoutMs: 30_000 });
        assert.ok(after > before);
        await clients.closeAll();
      } finally {
        await ensemble.remove();
      }
    });
  }
});
