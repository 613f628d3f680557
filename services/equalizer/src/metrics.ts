/** What a node counts. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Counter, Gauge, Histogram, Metrics } from '@thermomesh/runtime';

export interface EqualizerMetrics {
  coordinating: Gauge<string>;
  coordinatorEpoch: Gauge<string>;
  terms: Counter<'end'>;
  recoveryMs: Histogram<string>;
  jobs: Gauge<'phase'>;
  jobsEnded: Counter<'phase'>;
  stores: Counter<string>;
  storesRefused: Counter<'role'>;
  refusals: Counter<'why'>;
  tasksProduced: Counter<'phase'>;
  tasksReissued: Counter<'phase'>;
  ownWork: Histogram<'what'>;
  ownWorkFailed: Counter<'what' | 'code'>;
  orphansRemoved: Counter<string>;
  leading: Gauge<string>;
  tasks: Counter<'phase' | 'outcome'>;
  skipped: Counter<'why'>;
  chunkMs: Histogram<'phase'>;
  workersRunning: Gauge<string>;
  workersWaiting: Gauge<string>;
  workerCrashes: Counter<string>;
  eventLoopLagMs: Gauge<'quantile'>;
}

const workBucketsMs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000];

export function createEqualizerMetrics(metrics: Metrics): EqualizerMetrics {
  const counter = <L extends string>(name: string, help: string, labels?: readonly L[]) =>
    metrics.counter(`equalizer_${name}`, help, labels);
  const gauge = <L extends string>(name: string, help: string, labels?: readonly L[]) =>
    metrics.gauge(`equalizer_${name}`, help, labels);
  const histogram = <L extends string>(name: string, help: string, labels?: readonly L[]) =>
    metrics.histogram(`equalizer_${name}`, help, workBucketsMs, labels);
  return {
    coordinating: gauge('coordinator', '1 while this node coordinates'),
    coordinatorEpoch: gauge('coordinator_epoch', 'Epoch of this node’s present or latest term'),
    terms: counter('terms_total', 'Terms as coordinator that ended, by how', ['end']),
    recoveryMs: histogram('recovery_ms', 'From the won epoch to the first step of a coordinator'),
    jobs: gauge('jobs', 'Jobs that the coordinator knows, by phase; on other nodes nothing', ['phase']),
    jobsEnded: counter('jobs_ended_total', 'Jobs that this coordinator ended, by how', ['phase']),
    stores: counter('stores_total', 'Documents of jobs that this coordinator made durable'),
    storesRefused: counter('stores_refused_total', 'Writes that the fence refused', ['role']),
    refusals: counter('refusals_total', 'Results that changed nothing, by why', ['why']),
    tasksProduced: counter('tasks_produced_total', 'Tasks that the brokers have taken', ['phase']),
    tasksReissued: counter('tasks_reissued_total', 'Those of them that were not the first attempt', [
      'phase',
    ]),
    ownWork: histogram('own_work_ms', 'Decoding, reducing and stitching by the coordinator', ['what']),
    ownWorkFailed: counter('own_work_failed_total', 'Of that, what ended by an error', ['what', 'code']),
    orphansRemoved: counter('orphans_removed_total', 'Jobs whose files were left without a job'),
    leading: gauge('leading_partitions', 'Partitions that this node leads'),
    tasks: counter('tasks_total', 'Tasks that this node has answered', ['phase', 'outcome']),
    skipped: counter('tasks_skipped_total', 'Records that were not worked on, by why', ['why']),
    chunkMs: histogram('chunk_ms', 'Work on one chunk', ['phase']),
    workersRunning: gauge('workers_running', 'Image tasks that run'),
    workersWaiting: gauge('workers_waiting', 'Image tasks that wait for a thread'),
    workerCrashes: counter('worker_crashes_total', 'Image threads that ended by themselves'),
    eventLoopLagMs: gauge('event_loop_lag_ms', 'Delay of the event loop in the last second', ['quantile']),
  };
}

const sampleIntervalMs = 1_000;
const nanosecondsPerMs = 1e6;

/** Samples what changes by itself. @returns what stops it */
export function sampleGauges(
  metrics: EqualizerMetrics,
  read: () => { running: number; waiting: number },
): () => void {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const timer = setInterval(() => {
    for (const [quantile, value] of [
      ['0.5', delay.percentile(50)],
      ['0.99', delay.percentile(99)],
      ['1', delay.max],
    ] as const)
      metrics.eventLoopLagMs.set({ quantile }, value / nanosecondsPerMs);
    delay.reset();
    const { running, waiting } = read();
    metrics.workersRunning.set(running);
    metrics.workersWaiting.set(waiting);
  }, sampleIntervalMs);
  timer.unref();
  return () => {
    clearInterval(timer);
    delay.disable();
  };
}
