/** Metrics of a node. */
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
  coordinatorTaskMs: Histogram<'what'>;
  coordinatorTasksFailed: Counter<'what' | 'code'>;
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
  return { ...coordinatorMetrics(metrics), ...leaderMetrics(metrics) };
}

function coordinatorMetrics(metrics: Metrics) {
  return {
    coordinating: metrics.gauge('equalizer_coordinator', '1 while this node coordinates'),
    coordinatorEpoch: metrics.gauge(
      'equalizer_coordinator_epoch',
      'Epoch of this node’s current or latest term',
    ),
    terms: metrics.counter('equalizer_terms_total', 'Terms of this node as coordinator, by how they ended', [
      'end',
    ]),
    recoveryMs: metrics.histogram(
      'equalizer_recovery_ms',
      'Time from an election to the first step of the coordinator',
      workBucketsMs,
    ),
    jobs: metrics.gauge(
      'equalizer_jobs',
      'Jobs that the coordinator knows, by phase; absent on other nodes',
      ['phase'],
    ),
    jobsEnded: metrics.counter(
      'equalizer_jobs_ended_total',
      'Jobs that ended under this coordinator, by final phase',
      ['phase'],
    ),
    stores: metrics.counter('equalizer_stores_total', 'Job documents that this coordinator has written'),
    storesRefused: metrics.counter('equalizer_stores_refused_total', 'Writes that the fence refused', [
      'role',
    ]),
    refusals: metrics.counter('equalizer_refusals_total', 'Results that were refused, by reason', ['why']),
    tasksProduced: metrics.counter('equalizer_tasks_produced_total', 'Tasks that the brokers have stored', [
      'phase',
    ]),
    tasksReissued: metrics.counter(
      'equalizer_tasks_reissued_total',
      'Stored tasks that were not the first attempt',
      ['phase'],
    ),
    coordinatorTaskMs: metrics.histogram(
      'equalizer_own_work_ms',
      'Duration of the coordinator’s own tasks: decode, reduce, stitch',
      workBucketsMs,
      ['what'],
    ),
    coordinatorTasksFailed: metrics.counter(
      'equalizer_own_work_failed_total',
      'Failed attempts at the coordinator’s own tasks',
      ['what', 'code'],
    ),
    orphansRemoved: metrics.counter(
      'equalizer_orphans_removed_total',
      'Jobs whose leftover files the janitor removed',
    ),
  };
}

function leaderMetrics(metrics: Metrics) {
  return {
    leading: metrics.gauge('equalizer_leading_partitions', 'Partitions that this node leads'),
    tasks: metrics.counter('equalizer_tasks_total', 'Tasks that this node has answered, by outcome', [
      'phase',
      'outcome',
    ]),
    skipped: metrics.counter('equalizer_tasks_skipped_total', 'Task records that were skipped, by reason', [
      'why',
    ]),
    chunkMs: metrics.histogram('equalizer_chunk_ms', 'Duration of the work on one chunk', workBucketsMs, [
      'phase',
    ]),
    workersRunning: metrics.gauge('equalizer_workers_running', 'Image tasks that are running'),
    workersWaiting: metrics.gauge('equalizer_workers_waiting', 'Image tasks that are waiting for a thread'),
    workerCrashes: metrics.counter('equalizer_worker_crashes_total', 'Image threads that ended unexpectedly'),
    eventLoopLagMs: metrics.gauge(
      'equalizer_event_loop_lag_ms',
      'Delay of the event loop during the last second',
      ['quantile'],
    ),
  };
}

const sampleIntervalMs = 1_000;
const nanosecondsPerMs = 1e6;

/** Samples the event loop and the image threads. @returns the function that stops the sampling */
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
