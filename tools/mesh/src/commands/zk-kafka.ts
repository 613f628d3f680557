/** `mesh zk kafka` shows the metadata that Kafka keeps in ZooKeeper. */
import type { Command } from 'commander';
import { createLogUpdate } from 'log-update';
import type { ZkKafkaDocument } from '@thermomesh/contracts';
import type { MeshConfig } from '../config.ts';
import { worded } from '../zookeeper/error-messages.ts';
import { findKafkaRoot, KafkaWatch } from '../zookeeper/kafka-watch.ts';
import { printJson } from './options.ts';
import { renderKafka } from './view/zookeeper.ts';
import {
  atZooKeeper,
  printJsonLine,
  reportBreaks,
  untilInterrupted,
  withPlace,
  type ZkFlags,
} from './zk-options.ts';

const recentMax = 12;

const help = `
Shows brokers with their sessions, the controller and its epoch, and leader, leader epoch and
in-sync replicas of each partition. All of it is read from ZooKeeper, so it works while every broker
is down. The latest changes are marked with *.

Kafka is looked for at /thermomesh/<mesh>/kafka, its place in an external ZooKeeper, and then at the
root. For any other place use --hosts host:port/path.

--watch follows until Ctrl-C, without polling: on a terminal it shows the metadata and the latest
changes, otherwise one line for each change. --json prints one document; with --watch one document
a line, each with its "changes".

Examples:
  mesh zk kafka --watch        (in a second terminal: mesh chaos kafka)
  mesh zk kafka --json
  mesh zk kafka --hosts 127.0.0.1:2181/kafka`;

export function addZkKafka(zk: Command, config: () => MeshConfig): void {
  withPlace(zk.command('kafka'))
    .description('show the metadata of Kafka: brokers, controller, leaders and in-sync replicas')
    .option('--watch', 'follow the metadata and show what changes')
    .addHelpText('after', help)
    .action(async (flags: ZkFlags & { watch?: boolean }) => {
      await atZooKeeper(config(), flags, async (client) => {
        const signal = untilInterrupted();
        await using kafka = new KafkaWatch(client, await findKafkaRoot(client, flags.name));
        const showNext = flags.watch === true ? follower(flags.json === true) : once(flags.json === true);
        if (flags.watch === true) reportBreaks(client);
        try {
          for await (const document of kafka.documents(signal)) if (!showNext.show(document)) break;
        } catch (error) {
          throw worded(error, "Kafka's metadata");
        } finally {
          showNext.stop();
        }
      });
    });
}

interface Shower {
  /** Shows a document; returns false to end the command. */
  show(document: ZkKafkaDocument): boolean;
  stop(): void;
}

function once(json: boolean): Shower {
  return {
    show(document) {
      if (json) printJson(document);
      else console.log(renderKafka(document, process.stdout.isTTY));
      return false;
    },
    stop: () => undefined,
  };
}

function follower(json: boolean): Shower {
  if (!json && process.stdout.isTTY) return liveFollower();
  let first = true;
  return {
    show(document) {
      if (json) printJsonLine(document);
      else if (first) console.log(renderKafka(document, false));
      else for (const change of document.changes) console.log(`${timeOf(document)} ${change}`);
      first = false;
      return true;
    },
    stop: () => undefined,
  };
}

/** Shows the metadata in place, and the latest changes below it. */
function liveFollower(): Shower {
  const update = createLogUpdate(process.stdout);
  const recent: string[] = [];
  return {
    show(document) {
      recent.push(...document.changes.map((change) => `${timeOf(document)} ${change}`));
      recent.splice(0, Math.max(0, recent.length - recentMax));
      update([renderKafka(document, true), ...recent, 'Ctrl-C ends it'].join('\n'));
      return true;
    },
    stop: () => update.done(),
  };
}

function timeOf({ at }: ZkKafkaDocument): string {
  return at.slice(11, 23);
}
