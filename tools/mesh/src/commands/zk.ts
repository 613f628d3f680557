/** `mesh zk` reads and changes nodes of ZooKeeper. */
import type { Command } from 'commander';
import type { ZkChangeDocument } from '@thermomesh/contracts';
import {
  openAcl,
  privateAcl,
  readableAcl,
  type AclEntry,
  type Credentials,
  type ZooKeeper,
} from '@thermomesh/zookeeper';
import type { MeshConfig } from '../config.ts';
import { meshError } from '../errors.ts';
import { readContent, type ContentFlags } from '../zookeeper/content.ts';
import { dataFormats, parseData, type DataFormat } from '../zookeeper/data.ts';
import { readMembers } from '../zookeeper/members.ts';
import {
  checkDeletable,
  createNode,
  deleteNode,
  deleteNodesMax,
  deleteTree,
  getNode,
  readTree,
  refuseReserved,
  setNode,
  statNode,
} from '../zookeeper/nodes.ts';
import { planDeletion, type Deletion } from '../zookeeper/rights.ts';
import { watchNode } from '../zookeeper/watch.ts';
import { confirm, withYes, type YesOption } from './confirm.ts';
import { printJson, say, wholeNumber } from './options.ts';
import {
  renderData,
  renderEvent,
  renderMembers,
  renderStat,
  renderTree,
  renderVersion,
} from './view/zookeeper.ts';
import { addZkKafka } from './zk-kafka.ts';
import {
  atZooKeeper,
  oneOf,
  printJsonLine,
  reportBreaks,
  untilInterrupted,
  withPlace,
  type ZkFlags,
} from './zk-options.ts';

interface FormatFlags extends ZkFlags {
  format?: DataFormat;
}
type DeleteFlags = ZkFlags & YesOption & { version?: number; recursive?: boolean };
type WriteFlags = FormatFlags & ContentFlags & { version?: number };

const aclNames = ['open', 'readable', 'private'] as const;
const versionMax = 2 ** 31 - 1;
const countMax = 1_000_000;
const depthDefault = 20;
const nodesDefault = 2_000;
const groupHelp = `
The ZooKeeper is the one of --hosts, else the one of the mesh, else ZOOKEEPER_HOSTS. --auth names a
file with user:password in it, or "mesh" for the operator of the mesh. A secret is never given on
the command line, where every user of the machine could see it.

Exit codes: 0 success; 1 refused, not found or not reachable (one line names the reason);
2 wrong usage.

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
    .description('read and change nodes of ZooKeeper in any namespace, and show the metadata of Kafka')
    .addHelpText('after', groupHelp);
  addLooking(zk, config);
  addWatch(zk, config);
  addChanging(zk, config);
  addDelete(zk, config);
  addZkKafka(zk, config);
}

function addLooking(zk: Command, config: () => MeshConfig): void {
  withPlace(zk.command('tree [path]'))
    .description('show the nodes below a path, with versions, sizes and owners')
    .option('--depth <n>', 'maximum number of levels below the path', wholeNumber(0, countMax), depthDefault)
    .option('--limit <n>', 'maximum number of nodes', wholeNumber(1, countMax), nodesDefault)
    .action(async (path: string | undefined, flags: ZkFlags & { depth: number; limit: number }) => {
      const limits = { depthMax: flags.depth, nodesMax: flags.limit };
      const tree = await atZooKeeper(config(), flags, async (client) =>
        readTree(client, path ?? '/', limits),
      );
      if (flags.json === true) printJson(tree);
      else console.log(renderTree(tree));
    });
  withFormat(withPlace(zk.command('get <path>')))
    .description('print the data of a node on stdout, and its version on stderr')
    .action(async (path: string, flags: FormatFlags) => {
      const node = await atZooKeeper(config(), flags, async (client) => getNode(client, path, flags.format));
      if (flags.json === true) return printJson(node);
      say(renderVersion(node));
      console.log(renderData(node));
    });
  withPlace(zk.command('stat <path>'))
    .description('show versions, transactions, owner and ACL of a node')
    .action(async (path: string, flags: ZkFlags) => {
      const stat = await atZooKeeper(config(), flags, async (client) => statNode(client, path));
      if (flags.json === true) printJson(stat);
      else console.log(renderStat(stat));
    });
  withPlace(zk.command('members'))
    .description('list the registered analytics nodes and services, with address, version and flavour')
    .action(async (flags: ZkFlags) => {
      const members = await atZooKeeper(config(), flags, async (client) => readMembers(client, flags.name));
      if (flags.json === true) printJson(members);
      else console.log(renderMembers(members, process.stdout.isTTY));
    });
}

function addWatch(zk: Command, config: () => MeshConfig): void {
  withFormat(withPlace(zk.command('watch <path>')))
    .description('follow a node, whether it exists or not: creation, deletion, data and children')
    .option(
      '--count <n>',
      'end after this many events, including the first one with the present state',
      wholeNumber(1, countMax),
    )
    .addHelpText(
      'after',
      `
Follows until Ctrl-C, across lost connections and sessions, without polling. Changes that follow
each other faster than they can be read become one event. --json prints one document a line.

Examples:
  mesh zk watch /thermomesh/config
  mesh zk watch /brokers/ids --count 2 --json`,
    )
    .action(async (path: string, flags: FormatFlags & { count?: number }) => {
      await atZooKeeper(config(), flags, async (client) => {
        reportBreaks(client);
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
    .description('create a persistent node')
    .option('--parents', 'create its missing parents too')
    .option('--sequential', 'let the server append an increasing number to the name')
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
    .option('--version <n>', 'write only if the node is at this version', wholeNumber(0, versionMax))
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
  withYes(withPlace(zk.command('delete <path>')))
    .description('delete a node; with --recursive also everything below it; never / and /zookeeper')
    .option('--version <n>', 'delete only if the node is at this version', wholeNumber(0, versionMax))
    .option('--recursive', 'delete everything below it too')
    .addHelpText(
      'after',
      `
It asks first; --yes confirms, for scripts. With --recursive it first checks every ACL: if one node
stops it, nothing is deleted.

Examples:
  mesh zk delete /app/settings
  mesh zk delete /app --recursive --yes`,
    )
    .action(async (path: string, flags: DeleteFlags) => {
      if (flags.recursive === true && flags.version !== undefined) {
        throw meshError('usage', '--version is for one node, --recursive for many: choose one of them');
      }
      const gone = await atZooKeeper(config(), flags, async (client, credentials) => {
        refuseReserved(path);
        if (flags.recursive !== true) return deleteOne(client, path, flags);
        const planned = await planDeletion(client, path, credentials, deleteNodesMax);
        await confirm(describeDeletion(planned), flags);
        return deleteTree(client, path);
      });
      if (flags.json === true) printJson(gone);
      else console.log(`${path}: ${countOf(gone.nodes)} deleted`);
    });
}

async function deleteOne(client: ZooKeeper, path: string, flags: DeleteFlags): Promise<ZkChangeDocument> {
  await checkDeletable(client, path, flags.version);
  await confirm(`this deletes ${path}`, flags);
  return deleteNode(client, path, flags.version);
}

function describeDeletion({ path, paths, ofSessions }: Deletion): string {
  const rest = ofSessions === 0 ? '' : ` (${ofSessions} of them belong to running processes)`;
  return `this deletes ${path} and everything below it: ${countOf(paths.length)}${rest}`;
}

function countOf(nodes: number): string {
  return `${nodes} ${nodes === 1 ? 'node' : 'nodes'}`;
}

function withFormat(command: Command): Command {
  return command.option('--format <how>', dataFormats.join(', '), oneOf(dataFormats));
}

function withContent(command: Command): Command {
  return withFormat(command).option('--file <file>', 'read the data from this file; "-" reads stdin');
}

function aclOf(name: (typeof aclNames)[number], credentials: Credentials | undefined): readonly AclEntry[] {
  if (name === 'open') return openAcl;
  if (credentials === undefined)
    throw meshError('usage', `--acl ${name} needs --auth, which names the owner`);
  return name === 'readable' ? readableAcl(credentials.secret) : privateAcl(credentials.secret);
}
