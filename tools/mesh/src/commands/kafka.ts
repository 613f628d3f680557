/** `mesh kafka` shows topics, offsets and lag. */
import type { Command } from 'commander';
import type { MeshConfig } from '../config.ts';
import { readLag, readOffsets, withKafka, type PartitionView } from '../kafka/offsets.ts';
import { printJson, withOutput, type OutputOptions } from './options.ts';
import { show, table } from './view/table.ts';

const help = `
The brokers are those of the running mesh, else those of KAFKA_BROKERS. "topics" and "offsets" ask
the brokers; "lag" also reads in ZooKeeper from where the next reader of each partition would read.
The tasks of a partition are read by its leader, the results by the coordinator. Lag that stays
above 0 while jobs run means that their readers do not keep up. Without jobs it may stay above 0:
positions are saved when work is done, not with every record. "mesh zk kafka" shows brokers,
leaders and in-sync replicas, also while every broker is down.

Exit code: 1 if no broker answers.

Examples:
  mesh kafka topics
  mesh kafka offsets --json
  mesh kafka lag`;

export function addKafka(program: Command, config: () => MeshConfig): void {
  const group = program
    .command('kafka')
    .description('show topics, offsets and lag of Kafka')
    .addHelpText('after', help);
  withOutput(group.command('topics'))
    .description('list the topics with their partitions and records')
    .action(async (options: OutputOptions) => {
      const partitions = await withKafka(config(), options.name, readOffsets);
      const topics = [...Map.groupBy(partitions, ({ topic }) => topic)].map(([topic, rows]) => ({
        topic,
        partitions: rows.length,
        records: rows.reduce((sum, { start, end }) => sum + end - start, 0),
      }));
      if (options.json === true) return printJson({ topics });
      const rows = topics.map(({ topic, partitions: count, records }) => [topic, count, records]);
      console.log(table(['topic', 'partitions', 'records kept'], rows, process.stdout.isTTY));
    });
  withOutput(group.command('offsets'))
    .description('list the first and the next offset of each partition')
    .action(async (options: OutputOptions) => {
      const partitions = await withKafka(config(), options.name, readOffsets);
      if (options.json === true) printJson({ partitions });
      else console.log(renderPartitions(partitions));
    });
  withOutput(group.command('lag'))
    .description('show how far the readers of the topics are behind')
    .action(async (options: OutputOptions) => {
      const lag = await readLag(config(), options.name);
      if (options.json === true) return printJson({ partitions: lag });
      const rows = lag.map((row) => [
        row.topic,
        row.partition,
        row.reader,
        show(row.position),
        row.end,
        show(row.lag),
      ]);
      console.log(
        table(['topic', 'partition', 'reader', 'reads from', 'end', 'lag'], rows, process.stdout.isTTY),
      );
    });
}

function renderPartitions(partitions: PartitionView[]): string {
  const rows = partitions.map(({ topic, partition, start, end }) => [
    topic,
    partition,
    start,
    end,
    end - start,
  ]);
  return table(['topic', 'partition', 'first offset', 'next offset', 'records'], rows, process.stdout.isTTY);
}
