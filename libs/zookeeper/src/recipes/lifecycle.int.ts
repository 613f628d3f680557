import { after, before, describe } from 'node:test';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { lifecycleConformance } from '../conformance/lifecycle.ts';
import { hasCode } from '../errors.ts';
import { testServers } from '../testing/clients.ts';
import { until } from '../testing/until.ts';
import { Barrier } from './barrier.ts';
import { DoubleBarrier } from './double-barrier.ts';
import { DynamicConfig } from './dynamic-config.ts';
import { GroupMembership } from './group-membership.ts';
import { LeaderElection, SimpleElection } from './leader-election.ts';
import { Lock, ReadWriteLock } from './lock.ts';
import { PartitionLeadership } from './partition-leadership.ts';
import { Rendezvous } from './rendezvous.ts';
import { Semaphore } from './semaphore.ts';
import { ServiceDiscovery } from './service-discovery.ts';
import { SharedCounter } from './shared-counter.ts';
import { TaskAssignment } from './task-assignment.ts';

let server: TestEnsemble;
before(async () => {
  server = await testZooKeeper(testServers);
});
after(async () => server.remove());
const hosts = () => server.hosts;
const id = 'only';
const timeoutMs = 30_000;
const asIs = (value: unknown) => value;
const idOf = (alone: boolean) => (alone ? 'a' : `b${Math.random()}`);

// Side by side: most of the time goes by waiting for sessions to end.
describe('recipes', { concurrency: true }, () => {
  for (const [name, Election] of Object.entries({ LeaderElection, SimpleElection })) {
    lifecycleConformance<LeaderElection | SimpleElection>(
      name,
      {
        make: (zk, path) => new Election(zk, { path, id }),
        works: async (election) => until(() => election.leads, 'the leader'),
        owns: 1,
        hinders: async (election) => until(() => election.leads, 'the leader'),
      },
      hosts,
    );
  }
  lifecycleConformance<Lock>(
    'Lock',
    {
      make: (zk, path) => new Lock(zk, path),
      works: async (lock) => lock.acquire({ timeoutMs }),
      owns: 1,
      hinders: async (lock) => lock.acquire(),
      waits: async (lock) => lock.acquire(),
    },
    hosts,
  );
  lifecycleConformance<ReadWriteLock>(
    'ReadWriteLock',
    {
      make: (zk, path) => new ReadWriteLock(zk, path),
      works: async (lock) => lock.write({ timeoutMs }),
      owns: 1,
      hinders: async (lock) => lock.read(),
      waits: async (lock) => lock.write(),
    },
    hosts,
  );
  lifecycleConformance<Semaphore>(
    'Semaphore',
    {
      make: (zk, path) => new Semaphore(zk, { path, permits: 1 }),
      works: async (semaphore) => semaphore.acquire({ timeoutMs }),
      owns: 1,
      hinders: async (semaphore) => semaphore.acquire(),
      waits: async (semaphore) => semaphore.acquire(),
    },
    hosts,
  );
  lifecycleConformance<PartitionLeadership>(
    'PartitionLeadership',
    {
      make: (zk, path, alone) => new PartitionLeadership(zk, { path, id: idOf(alone), partitions: 2 }),
      works: async (member) => until(() => member.leading.length === 2, 'both partitions'),
      // Itself, its seat among those who assign, and the two partitions.
      owns: 4,
      hinders: async (member) => until(() => member.leading.length === 2, 'both partitions'),
    },
    hosts,
  );
  lifecycleConformance<GroupMembership<unknown>>(
    'GroupMembership',
    {
      make: (zk, path, alone) =>
        new GroupMembership(zk, { path, self: { id: idOf(alone), metadata: 1 }, parse: asIs }),
      works: async (group) => until(() => group.joined && group.fresh, 'the joining'),
      owns: 1,
    },
    hosts,
  );
  lifecycleConformance<ServiceDiscovery>(
    'ServiceDiscovery',
    {
      make: (zk, path, alone) => {
        const instance = { address: '127.0.0.1', port: 1, metadata: {} };
        return new ServiceDiscovery(zk, { path, service: 's', self: { id: idOf(alone), instance } });
      },
      works: async (discovery) => until(() => discovery.announced && discovery.fresh, 'the instance'),
      owns: 1,
    },
    hosts,
  );
  lifecycleConformance<DynamicConfig<unknown>>(
    'DynamicConfig',
    {
      make: (zk, path) => new DynamicConfig<unknown>(zk, { path, parse: asIs, initial: 0 }),
      works: async (config) => until(() => config.fresh, 'the first read'),
      owns: 0,
    },
    hosts,
  );
  lifecycleConformance<SharedCounter>(
    'SharedCounter',
    {
      make: (zk, path) => new SharedCounter(zk, { path }),
      works: async (counter) => counter.add(1n, { timeoutMs }),
      owns: 0,
    },
    hosts,
  );
  lifecycleConformance<Barrier>(
    'Barrier',
    {
      make: (zk, path) => new Barrier(zk, path),
      works: async (barrier) => barrier.wait({ timeoutMs }),
      owns: 0,
      hinders: async (barrier) => barrier.set(),
      waits: async (barrier) => barrier.wait(),
    },
    hosts,
  );
  lifecycleConformance<DoubleBarrier>(
    'DoubleBarrier',
    {
      make: (zk, path, alone) => new DoubleBarrier(zk, { path, parties: alone ? 1 : 2 }),
      works: async (barrier) => {
        // Whoever was lost inside has to leave before it can come again.
        await barrier.leave({ timeoutMs }).catch((error: unknown) => {
          if (!hasCode(error, 'zookeeper.misused', 'zookeeper.lease_lost')) throw error;
        });
        await barrier.enter({ timeoutMs });
      },
      owns: 1,
      waits: async (barrier) => barrier.enter(),
    },
    hosts,
  );
  lifecycleConformance<Rendezvous<unknown>>(
    'Rendezvous',
    {
      make: (zk, path, alone) =>
        new Rendezvous(zk, { path, self: { id: idOf(alone), role: 'r', document: 1 }, parse: asIs }),
      works: async (rendezvous) => rendezvous.meet({ r: 1 }, { timeoutMs }),
      owns: 1,
      waits: async (rendezvous) => rendezvous.meet({ r: 3 }),
    },
    hosts,
  );
  lifecycleConformance<TaskAssignment>(
    'TaskAssignment',
    {
      make: (zk, path, alone) =>
        new TaskAssignment(zk, { path, id, ...(alone ? { execute: async () => 1 } : {}) }),
      works: async (tasks) => {
        await tasks.result(await tasks.submit('x', { timeoutMs }), { timeoutMs });
        await until(() => tasks.leads && tasks.joined, 'master and worker');
      },
      owns: 2,
      waits: async (tasks) => tasks.result(await tasks.submit('never done')),
    },
    hosts,
  );
});
