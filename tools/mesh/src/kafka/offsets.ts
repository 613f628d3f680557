/** Offsets of a mesh's Kafka, and the positions that its readers have saved in ZooKeeper. */
import { parseJson, parsePartitionProgress } from '@thermomesh/contracts';
import { openKafka, type KafkaClient } from '@thermomesh/kafka';
import { hasCode, type ZooKeeper } from '@thermomesh/zookeeper';
import Type from 'typebox';
import type { MeshConfig } from '../config.ts';
import { meshError } from '../errors.ts';
import { layoutOf } from '../mesh/files/layout.ts';
import { readRunFile } from '../mesh/files/run-file.ts';
import { equalizerPath } from '../mesh/files/znodes.ts';
import { needZooKeeper, readCredentials, withZooKeeper } from '../zookeeper/place.ts';

/** The records that a partition holds: from `start` up to, but without, `end`. */
export interface PartitionView {
  topic: string;
  partition: number;
  start: number;
  end: number;
}

/** How far the reader of a partition is behind. */
export interface LagView {
  topic: string;
  partition: number;
  /** `leader` of the partition, or `coordinator`. */
  reader: string;
  /** The offset from which its next reader begins; null if none is saved. */
  position: number | null;
  end: number;
  lag: number | null;
}

const clientId = 'mesh-cli';
const callDeadlineMs = 5_000;
const ReadOffsets = Type.Object({ results: Type.Record(Type.String(), Type.Integer({ minimum: 0 })) });
const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/**
 * Calls `work` with a client of the mesh's brokers.
 * @throws MeshError `kafka.absent`; the errors of the client
 */
export async function withKafka<T>(
  config: MeshConfig,
  name: string,
  work: (kafka: KafkaClient) => Promise<T>,
): Promise<T> {
  const run = readRunFile(layoutOf(config.home, name));
  const recorded = run?.state === 'stopped' ? null : run?.kafkaBrokers;
  const brokers = recorded ?? config.kafkaBrokers;
  if (brokers === undefined)
    throw meshError(
      'kafka.absent',
      `the mesh "${name}" runs no Kafka now: start it ("mesh up"), or set KAFKA_BROKERS`,
    );
  const settings = { brokers: brokers.split(','), clientId, callDeadlineMs };
  const kafka = openKafka({ settings, log: silent });
  try {
    return await work(kafka);
  } finally {
    await kafka.close();
  }
}

/** The partitions of all topics except Kafka's own, by topic and partition. */
export async function readOffsets(kafka: KafkaClient): Promise<PartitionView[]> {
  const topics = (await kafka.admin.list()).sort();
  const ranges = await Promise.all(
    topics.map(async (topic) =>
      (await kafka.admin.ranges(topic)).map(({ partition, start, end }) => ({
        topic,
        partition,
        start,
        end,
      })),
    ),
  );
  return ranges.flat();
}

/**
 * Compares the end of each partition of tasks and results with the saved position of its reader.
 * @throws MeshError `kafka.absent`, `zookeeper.absent`, `zookeeper.timeout`
 */
export async function readLag(config: MeshConfig, name: string): Promise<LagView[]> {
  const partitions = await withKafka(config, name, readOffsets);
  const place = needZooKeeper(config, { name });
  const root = equalizerPath(name);
  return withZooKeeper(place, readCredentials(config, name, 'mesh'), async (zk) => {
    const results = parseJson<{ results: Record<string, number> }>(
      ReadOffsets,
      await content(zk, `${root}/recovery`),
    );
    const positions = 'record' in results ? results.record.results : {};
    const views: LagView[] = [];
    for (const { topic, partition, end } of partitions) {
      if (topic.endsWith('.tasks')) {
        const progress = parsePartitionProgress(await content(zk, `${root}/progress/${partition}`));
        const position = 'record' in progress ? progress.record.offset : null;
        views.push(lagOf({ topic, partition, reader: 'leader', position, end }));
      } else if (topic.endsWith('.results')) {
        views.push(
          lagOf({
            topic,
            partition,
            reader: 'coordinator',
            position: positions[String(partition)] ?? null,
            end,
          }),
        );
      }
    }
    return views;
  });
}

/** Adds the lag; without a position it is unknown, unless there never was a record. */
export function lagOf(view: Omit<LagView, 'lag'>): LagView {
  const { position, end } = view;
  if (position === null) return { ...view, lag: end === 0 ? 0 : null };
  return { ...view, lag: Math.max(0, end - position) };
}

/** The content of a node; null if there is none. */
async function content(zk: ZooKeeper, path: string): Promise<Buffer | null> {
  try {
    return (await zk.getData(path)).data;
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_node')) return null;
    throw error;
  }
}
