import { describe } from 'node:test';
import { until } from '@thermomesh/testing';
import { lifecycleConformance } from '../conformance/lifecycle.ts';
import { hasCode } from '../errors.ts';
import { useZooKeeper } from '../testing/use-zookeeper.ts';
import { Barrier } from './barriers/barrier.ts';
import { DoubleBarrier } from './barriers/double-barrier.ts';
import { DynamicConfig } from './values/dynamic-config.ts';
import { GroupMembership } from './groups/group-membership.ts';
import { LeaderElection, SimpleElection } from './election/leader-election.ts';
import { Lock, ReadWriteLock } from './locks/lock.ts';
import { PartitionLeadership } from './election/partition-leadership.ts';
import { Rendezvous } from './barriers/rendezvous.ts';
import { Semaphore } from './locks/semaphore.ts';
import { ServiceDiscovery } from './groups/service-discovery.ts';
import { SharedCounter } from './values/shared-counter.ts';
import { TaskAssignment } from './tasks/task-assignment.ts';

const { ensemble } = useZooKeeper();
const hosts = () => ensemble().hosts;
const id = 'only';
const timeoutMs = 30_000;
const asIs = (value: unknown) => value;
const idOf = (alone: boolean) => (alone ? 'a' : `b${Math.random()}`);

// Run concurrently: most of the time is spent waiting for sessions to end.
describe('recipes', { concurrency: true }, () => {
  for (const [name, Election] of Object.entries({ LeaderElection, SimpleElection })) {
    lifecycleConformance<LeaderElection | SimpleElection>(
      name,
      {
        make: (zk, path) => new Election(zk, { path, id }),
        works: async (election) => until('the leader', () => election.leads),
        owns: 1,
        hinders: async (election) => until('the leader', () => election.leads),
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
      works: async (member) => until('both partitions', () => member.leading.length === 2),
      // Its member node, its seat in the assigner's election, and the two partitions.
      owns: 4,
      hinders: async (member) => until('both partitions', () => member.leading.length === 2),
    },
    hosts,
  );
  lifecycleConformance<GroupMembership<unknown>>(
    'GroupMembership',
    {
      make: (zk, path, alone) =>
        new GroupMembership(zk, { path, self: { id: idOf(alone), metadata: 1 }, parse: asIs }),
      works: async (group) => until('the joining', () => group.joined && group.fresh),
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
      works: async (discovery) => until('the instance', () => discovery.announced && discovery.fresh),
      owns: 1,
    },
    hosts,
  );
  lifecycleConformance<DynamicConfig<unknown>>(
    'DynamicConfig',
    {
      make: (zk, path) => new DynamicConfig<unknown>(zk, { path, parse: asIs, initial: 0 }),
      works: async (config) => until('the first read', () => config.fresh),
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
        // A party that was lost inside must leave before it can enter again.
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
        await until('master and worker', () => tasks.leads && tasks.joined);
      },
      owns: 2,
      waits: async (tasks) => tasks.result(await tasks.submit('never done')),
    },
    hosts,
  );
});
