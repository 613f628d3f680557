/** `mesh zk kafka` */
import type { Command } from 'commander';
import { createLogUpdate } from 'log-update';
import type { ZkKafkaDocument } from '@thermomesh/contracts';
import type { MeshConfig } from '../config.ts';
import { worded } from '../zk/faults.ts';
import { findKafkaRoot, KafkaWatch } from '../zk/kafka-watch.ts';
import { renderKafka } from '../zk/view.ts';
import { printJson } from './options.ts';
import {
  atZooKeeper,
  printJsonLine,
  tellBreaks,
  untilInterrupted,
  withPlace,
  type ZkFlags,
} from './zk-options.ts';

const recentMax = 12;

const help = `
Brokers and their sessions, the controller and its epoch, and for each partition leader, leader epoch and in-sync replicas, read from
ZooKeeper alone: no broker is asked, so it shows what is left when all of them are dead. What changed last is marked *.

Kafka is looked for at /thermomesh/<mesh>/kafka, where it is in a ZooKeeper that is not the mesh's own, then at the root; elsewhere it
is found by --hosts host:port/path.

--watch follows until Ctrl-C, by watches: on a terminal the picture with the latest changes, otherwise a line for each change.
--json prints one document; with --watch one a line, each with the "changes" since the one before.

Examples:
  mesh zk kafka --watch        in a second terminal: mesh chaos kafka
  mesh zk kafka --json
  mesh zk kafka --hosts 127.0.0.1:2181/kafka`;

export function addZkKafka(zk: Command, config: () => MeshConfig): void {
  withPlace(zk.command('kafka'))
    .description('what Kafka keeps in ZooKeeper: brokers, controller, leaders and in-sync replicas')
    .option('--watch', 'follow it and show what changes')
    .addHelpText('after', help)
    .action(async (flags: ZkFlags & { watch?: boolean }) => {
      await atZooKeeper(config(), flags, async (client) => {
        const signal = untilInterrupted();
        await using kafka = new KafkaWatch(client, await findKafkaRoot(client, flags.name));
        const showNext = flags.watch === true ? follower(flags.json === true) : once(flags.json === true);
        if (flags.watch === true) tellBreaks(client);
        try {
          for await (const document of kafka.documents(signal)) if (!showNext.show(document)) break;
        } catch (error) {
          throw worded(error, 'what Kafka keeps');
        } finally {
          showNext.stop();
        }
      });
    });
}

interface Shower {
  /** False: enough is seen. */
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

/** The picture in place, and the latest changes below it. */
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
