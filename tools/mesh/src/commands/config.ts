/** `mesh config` shows and changes the limits that every node follows while it runs. */
import { InvalidArgumentError, type Command } from 'commander';
import { drainLimitNames, type ConfigChangeDocument, type ConfigDocument } from '@thermomesh/contracts';
import type { MeshConfig } from '../config.ts';
import { openLocalMesh } from '../mesh/mesh.ts';
import { readDrainConfig, setDrainConfig, type DrainLimitChange } from '../zookeeper/drain-config.ts';
import { needZooKeeper, readCredentials, withZooKeeper } from '../zookeeper/place.ts';
import { printJson, wholeNumber, withOutput, type OutputOptions } from './options.ts';
import { show, showMs, table } from './view/table.ts';

const prefix = 'drain.';
const versionMax = 2 ** 31 - 1;
const valueMax = 2 ** 31 - 1;
const convergeTimeoutMs = 10_000;
const help = `
Names: ${drainLimitNames.map((name) => prefix + name).join(', ')}.
A value is a whole number, or "static", which restores each node's own setting.
The document is in the mesh's ZooKeeper, and only the operator may write it.
If someone else has changed it meanwhile, the command changes nothing and fails.

Exit code: 1 if the document cannot be written, or a node does not follow it within ${convergeTimeoutMs / 1000} s.

Examples:
  mesh config get
  mesh config set drain.batchRowsMax=500 drain.batchLingerMs=4
  mesh config set drain.batchRowsMax=static --json`;

export function addConfig(program: Command, config: () => MeshConfig): void {
  const group = program
    .command('config')
    .description('show and change the limits of the drain while the mesh runs')
    .addHelpText('after', help);
  withOutput(group.command('get'))
    .description('show the published limits, and the limits that each node follows')
    .action(async (options: OutputOptions) => {
      const mesh = openLocalMesh(config(), options.name);
      const place = needZooKeeper(mesh.config, options);
      const document = await withZooKeeper(place, undefined, async (zk) => readDrainConfig(zk, mesh));
      if (options.json === true) printJson(document);
      else console.log(renderConfig(document, process.stdout.isTTY));
    });
  withOutput(group.command('set'))
    .argument('<name=value...>', 'limits and their values', collectChange)
    .description('publish limits, and measure how long it takes until all nodes follow them')
    .option('--version <n>', 'write only if the document is at this version', wholeNumber(0, versionMax))
    .action(async (changes: DrainLimitChange[], options: OutputOptions & { version?: number }) => {
      const mesh = openLocalMesh(config(), options.name);
      const credentials = readCredentials(mesh.config, mesh.name, 'mesh');
      const change = await withZooKeeper(needZooKeeper(mesh.config, options), credentials, async (zk) =>
        setDrainConfig(zk, mesh, {
          changes,
          adminSecret: credentials.secret,
          version: options.version,
          timeoutMs: convergeTimeoutMs,
        }),
      );
      if (options.json === true) printJson(change);
      else console.log(renderChange(change, process.stdout.isTTY));
      if (!change.converged) process.exitCode = 1;
    });
}

/**
 * Parses a change such as `drain.batchRowsMax=500`.
 * @throws InvalidArgumentError
 */
export function parseChange(word: string): DrainLimitChange {
  const [key = '', value = '', ...rest] = word.split('=');
  const name = drainLimitNames.find((each) => key === prefix + each);
  if (name === undefined || rest.length > 0) {
    const names = drainLimitNames.map((each) => prefix + each).join(', ');
    throw new InvalidArgumentError(`"${word}" must read name=value, with one of ${names}.`);
  }
  return { name, value: value === 'static' ? 'static' : wholeNumber(0, valueMax)(value) };
}

function collectChange(word: string, previous: DrainLimitChange[] = []): DrainLimitChange[] {
  return [...previous, parseChange(word)];
}

function renderConfig({ path, published, version, nodes }: ConfigDocument, colours: boolean): string {
  const head = ['node', ...drainLimitNames, 'source', 'version', 'refused'];
  const rows = nodes.map(({ name, drain }) => [
    name,
    ...drainLimitNames.map((limit) => show(drain?.limits[limit])),
    ...[show(drain?.source), show(drain?.version), show(drain?.refused)],
  ]);
  const what =
    published === null ? 'nothing is published' : `version ${version}: ${JSON.stringify(published)}`;
  return `${path}: ${what}\n${table(head, rows, colours)}`;
}

function renderChange(change: ConfigChangeDocument, colours: boolean): string {
  const { path, published, version, nodes, converged, convergedMs } = change;
  const rows = nodes.map((node) => [node.name, showMs(node.convergedMs), show(node.refused)]);
  const verdict = converged
    ? `all ${nodes.length} nodes follow it after ${showMs(convergedMs)}`
    : 'not all nodes follow it; a node that is down follows it when it is back';
  return `${path} is at version ${version} now: ${JSON.stringify(published)}\n${table(['node', 'after', 'refused'], rows, colours)}\n${verdict}`;
}
