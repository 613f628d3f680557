/** `mesh zk`: looking into ZooKeeper, and changing what is there. */
import type { Command } from 'commander';
import { MeshError } from '@thermomesh/runtime';
import { openAcl, privateAcl, readableAcl, type AclEntry, type Credentials } from '@thermomesh/zookeeper';
import type { MeshConfig } from '../config.ts';
import { dataFormats, parseData, type DataFormat } from '../zk/data.ts';
import { readMembers } from '../zk/members.ts';
import { createNode, deleteNode, deleteTree, getNode, readTree, setNode, statNode } from '../zk/nodes.ts';
import { readContent, type ContentFlags } from '../zk/content.ts';
import { renderData, renderEvent, renderMembers, renderStat, renderTree, renderVersion } from '../zk/view.ts';
import { watchNode } from '../zk/watch.ts';
import { printJson, say, wholeNumber } from './options.ts';
import { addZkKafka } from './zk-kafka.ts';
import {
  atZooKeeper,
  oneOf,
  printJsonLine,
  tellBreaks,
  untilInterrupted,
  withPlace,
  type ZkFlags,
} from './zk-options.ts';

interface FormatFlags extends ZkFlags {
  format?: DataFormat;
}
type WriteFlags = FormatFlags & ContentFlags & { version?: number };

const aclNames = ['open', 'readable', 'private'] as const;
const versionMax = 2 ** 31 - 1;
const countMax = 1_000_000;
const depthDefault = 20;
const nodesDefault = 2_000;
const groupHelp = `
Which ZooKeeper: --hosts, else the one of the mesh, else ZOOKEEPER_HOSTS. --auth names a file that holds user:password, or is
"mesh", the operator of the mesh; a secret on the command line would be seen by everybody on the machine.

Exit codes: 0 done, 1 refused or not there or not reachable (one line says why), 2 wrong usage.

Examples:
  mesh zk tree / --depth 2
  mesh zk get /thermomesh/config --format json
  mesh zk set /thermomesh/config '{"batch":500}' --format json --version 3
  mesh zk watch /thermomesh/config
  mesh zk members
  mesh zk kafka --watch`;

export function addZk(program: Command, config: () => MeshConfig): void {
  const zk = program
    .command('zk')
    .description('look into ZooKeeper and change what is there, in any namespace; what Kafka keeps there')
    .addHelpText('after', groupHelp);
  addLooking(zk, config);
  addWatch(zk, config);
  addChanging(zk, config);
  addDelete(zk, config);
  addZkKafka(zk, config);
}

function addLooking(zk: Command, config: () => MeshConfig): void {
  withPlace(zk.command('tree [path]'))
    .description('the nodes from a path down, with versions, sizes and owners')
    .option('--depth <n>', 'levels below it', wholeNumber(0, countMax), depthDefault)
    .option('--limit <n>', 'nodes', wholeNumber(1, countMax), nodesDefault)
    .action(async (path: string | undefined, flags: ZkFlags & { depth: number; limit: number }) => {
      const limits = { depthMax: flags.depth, nodesMax: flags.limit };
      const tree = await atZooKeeper(config(), flags, async (client) =>
        readTree(client, path ?? '/', limits),
      );
      if (flags.json === true) printJson(tree);
      else console.log(renderTree(tree));
    });
  withFormat(withPlace(zk.command('get <path>')))
    .description("a node's data on stdout, its version on stderr")
    .action(async (path: string, flags: FormatFlags) => {
      const node = await atZooKeeper(config(), flags, async (client) => getNode(client, path, flags.format));
      if (flags.json === true) return printJson(node);
      say(renderVersion(node));
      console.log(renderData(node));
    });
  withPlace(zk.command('stat <path>'))
    .description('versions, transactions, owner and ACL of a node')
    .action(async (path: string, flags: ZkFlags) => {
      const stat = await atZooKeeper(config(), flags, async (client) => statNode(client, path));
      if (flags.json === true) printJson(stat);
      else console.log(renderStat(stat));
    });
  withPlace(zk.command('members'))
    .description('who has listed itself: analytics nodes and services, with address, version and flavour')
    .action(async (flags: ZkFlags) => {
      const members = await atZooKeeper(config(), flags, async (client) => readMembers(client, flags.name));
      if (flags.json === true) printJson(members);
      else console.log(renderMembers(members, process.stdout.isTTY));
    });
}

function addWatch(zk: Command, config: () => MeshConfig): void {
  withFormat(withPlace(zk.command('watch <path>')))
    .description(
      'follow a node that is there, or is not there yet: its data, its children, its coming and going',
    )
    .option(
      '--count <n>',
      'end after so many events, the state at the start included',
      wholeNumber(1, countMax),
    )
    .addHelpText(
      'after',
      `
Follows until Ctrl-C, through lost connections and sessions. ZooKeeper is not polled: a watch wakes it. Changes that follow each other
faster than they are read become one event. --json prints one document a line.

Examples:
  mesh zk watch /thermomesh/config
  mesh zk watch /brokers/ids --count 2 --json`,
    )
    .action(async (path: string, flags: FormatFlags & { count?: number }) => {
      await atZooKeeper(config(), flags, async (client) => {
        tellBreaks(client);
        await watchNode(client, path, {
          format: flags.format,
          count: flags.count,
          signal: untilInterrupted(),
          onEvent: (event) => (flags.json === true ? printJsonLine(event) : console.log(renderEvent(event))),
        });
      });
    });
}

function addChanging(zk: Command, config: () => MeshConfig): void {
  withContent(withPlace(zk.command('create <path> [data]')))
    .description('make a node that stays')
    .option('--parents', 'and those above it, as far as they are missing')
    .option('--sequential', 'the server puts a growing number behind the name')
    .option('--acl <who>', 'open to all, readable by all, or private to --auth', oneOf(aclNames), 'open')
    .action(
      async (
        path: string,
        data: string | undefined,
        flags: WriteFlags & { parents?: boolean; sequential?: boolean; acl: (typeof aclNames)[number] },
      ) => {
        const bytes = parseData(await readContent(data, flags), flags.format);
        const made = await atZooKeeper(config(), flags, async (client, credentials) =>
          createNode(client, path, {
            data: bytes,
            acl: aclOf(flags.acl, credentials),
            parents: flags.parents === true,
            sequential: flags.sequential === true,
          }),
        );
        if (flags.json === true) printJson(made);
        else console.log(made.path);
      },
    );
  withContent(withPlace(zk.command('set <path> [data]')))
    .description('change the data of a node')
    .option('--version <n>', 'only if it is at this version now', wholeNumber(0, versionMax))
    .action(async (path: string, data: string | undefined, flags: WriteFlags) => {
      const bytes = parseData(await readContent(data, flags), flags.format);
      const set = await atZooKeeper(config(), flags, async (client) =>
        setNode(client, path, bytes, flags.version),
      );
      if (flags.json === true) printJson(set);
      else console.log(`${path} is at version ${set.version} now`);
    });
}

function addDelete(zk: Command, config: () => MeshConfig): void {
  withPlace(zk.command('delete <path>'))
    .description('remove a node; with --recursive everything below it too. Never / and /zookeeper')
    .option('--version <n>', 'only if it is at this version now', wholeNumber(0, versionMax))
    .option('--recursive', 'and everything below it')
    .action(async (path: string, flags: ZkFlags & { version?: number; recursive?: boolean }) => {
      if (flags.recursive === true && flags.version !== undefined) {
        throw new MeshError(
          'usage',
          '--version is about one node, --recursive about many: choose one of them',
        );
      }
      const gone = await atZooKeeper(config(), flags, async (client) =>
        flags.recursive === true ? deleteTree(client, path) : deleteNode(client, path, flags.version),
      );
      if (flags.json === true) printJson(gone);
      else console.log(`${path}: ${gone.nodes} ${gone.nodes === 1 ? 'node' : 'nodes'} deleted`);
    });
}

function withFormat(command: Command): Command {
  return command.option('--format <how>', dataFormats.join(', '), oneOf(dataFormats));
}

function withContent(command: Command): Command {
  return withFormat(command).option('--file <file>', 'the data are in this file; "-": on stdin');
}

function aclOf(name: (typeof aclNames)[number], credentials: Credentials | undefined): readonly AclEntry[] {
  if (name === 'open') return openAcl;
  if (credentials === undefined)
    throw new MeshError('usage', `--acl ${name} needs --auth: whose shall it be?`);
  return name === 'readable' ? readableAcl(credentials.secret) : privateAcl(credentials.secret);
}
