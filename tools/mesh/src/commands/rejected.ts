/** `mesh rejected` lists, counts, replays and deletes rejected messages. */
import {
  DeletedRejections,
  RejectedPage,
  RejectionCountPage,
  ReplayDocument,
  isDeviceId,
} from '@thermomesh/contracts';
import type { Command } from 'commander';
import { meshError } from '../errors.ts';
import { askAnalytics, coordinatorUrl, queryOf, readPages } from '../mesh/analytics.ts';
import { openMesh, type Mesh, type MeshContext } from '../mesh/mesh.ts';
import { confirm, withYes, type YesOption } from './confirm.ts';
import { printJson, wholeNumber, withOutput, type OutputOptions } from './options.ts';
import { renderCounts, renderRejected } from './view/data.ts';

const help = `
A message that the gateway has acknowledged, and that cannot become a reading, is kept with its
reason and its bytes. "replay" tries it once more by the drain's own rules, after you have changed
what stood in its way: opened an incarnation ("mesh device reset"), or widened a limit of the nodes.
It is stored at most once, and the accounts stay true. "delete" removes the bytes; the counts stay.

--since and --until take a time (RFC 3339 with a zone, or Unix ms).

Exit code: 1 if a message stays rejected at "replay", or no node answers.

Examples:
  mesh rejected count
  mesh rejected list --device room-1 --reason seq_conflict
  mesh rejected replay --device room-1 --reason seq_conflict
  mesh rejected delete --reason not_json --until 2026-01-01T00:00:00Z --yes`;

interface Filter {
  device?: string;
  reason?: string;
  since?: string;
  until?: string;
}
type FilterOptions = OutputOptions & Filter;

const rowsMax = 1_000_000;

/** Adds `--device`, `--reason`, `--since` and `--until`. */
function withFilter(command: Command): Command {
  return withOutput(command)
    .option('--device <id>', 'messages of this device')
    .option('--reason <reason>', 'messages that were rejected for this reason')
    .option('--since <time>', 'received at this time or later')
    .option('--until <time>', 'received before this time')
    .addHelpText('after', help);
}

export function addRejected(program: Command, context: () => MeshContext): void {
  const group = program
    .command('rejected')
    .description('list, count, replay and delete rejected messages')
    .addHelpText('after', help);
  withFilter(group.command('list'))
    .description('list rejected messages, newest first')
    .option('--limit <n>', 'maximum number of messages', wholeNumber(1, rowsMax), 20)
    .action(async (options: FilterOptions & { limit: number }) => {
      const items = await listRejected(openMesh(context(), options.name), options, options.limit);
      if (options.json === true) printJson({ items });
      else console.log(renderRejected(items, process.stdout.isTTY));
    });
  withOutput(group.command('count'))
    .description('count rejected messages by device and reason')
    .option('--device <id>', 'messages of this device')
    .addHelpText('after', help)
    .action(async (options: OutputOptions & { device?: string }) => {
      const mesh = openMesh(context(), options.name);
      const { device: deviceId } = checked(options);
      const items = await readPages(rowsMax, async (limit, cursor) =>
        askAnalytics(
          mesh,
          'GET',
          `/v1/rejected/summary${queryOf({ deviceId, limit, cursor })}`,
          RejectionCountPage,
        ),
      );
      if (options.json === true) printJson({ items });
      else console.log(renderCounts(items, process.stdout.isTTY));
    });
  withFilter(group.command('replay [ids...]'))
    .description('try rejected messages once more, the oldest first')
    .action(async (ids: string[], options: FilterOptions) => {
      const document = await replay(openMesh(context(), options.name), ids, options);
      if (document.rejected + document.failed > 0) process.exitCode = 1;
      if (options.json === true) return printJson(document);
      const { stored, duplicate, rejected, gone } = document;
      console.log(`stored ${stored}, duplicate ${duplicate}, still rejected ${rejected}, gone ${gone}`);
      for (const { id, reason, detail } of document.items.filter(({ outcome }) => outcome === 'rejected'))
        console.log(`  ${id}: ${reason}: ${detail}`);
    });
  withYes(withFilter(group.command('delete [ids...]')))
    .description('delete rejected messages; their counts stay')
    .action(async (ids: string[], options: FilterOptions & YesOption) => {
      const mesh = openMesh(context(), options.name);
      const paths = pathsOf(ids, options);
      const what =
        ids.length > 0
          ? `${ids.length} rejected message(s)`
          : `all rejected messages of ${described(options)}`;
      await confirm(`this deletes ${what}`, options);
      let deleted = 0;
      for (const path of paths)
        for (let complete = false; !complete;) {
          const answer = await askAnalytics(mesh, 'DELETE', path, DeletedRejections);
          deleted += answer.deleted;
          complete = answer.complete;
        }
      if (options.json === true) printJson({ deleted });
      else console.log(`deleted ${deleted} rejected message(s)`);
    });
}

async function listRejected(mesh: Mesh, filter: Filter, most: number): Promise<RejectedPage['items']> {
  const query = filterQuery(filter);
  return readPages(most, async (limit, cursor) =>
    askAnalytics(mesh, 'GET', `/v1/rejected${queryOf({ ...query, limit, cursor })}`, RejectedPage),
  );
}

interface Replays extends Record<ReplayDocument['outcome'], number> {
  /** Messages that could not be tried. */
  failed: number;
  items: ReplayDocument[];
}

/** @throws MeshError `usage`, `mesh.refused`, `mesh.no_answer` */
async function replay(mesh: Mesh, ids: string[], filter: Filter): Promise<Replays> {
  if (ids.length === 0) requireFilter(filter);
  const chosen =
    ids.length > 0 ? ids.map(checkedId) : (await listRejected(mesh, filter, rowsMax)).map(({ id }) => id);
  const url = await coordinatorUrl(mesh);
  const total: Replays = { stored: 0, duplicate: 0, rejected: 0, gone: 0, failed: 0, items: [] };
  for (const id of chosen.sort((a, b) => a - b)) {
    const answer = await mesh.http.act('POST', `${url}/v1/rejected/${id}/replay`, ReplayDocument);
    total[answer.outcome] += 1;
    total.items.push(answer);
  }
  return total;
}

function pathsOf(ids: string[], filter: Filter): string[] {
  if (ids.length > 0) return ids.map((id) => `/v1/rejected/${checkedId(id)}`);
  requireFilter(filter);
  return [`/v1/rejected${queryOf(filterQuery(filter))}`];
}

function filterQuery(filter: Filter) {
  const { device: deviceId, reason, since, until } = checked(filter);
  return { deviceId, reason, since, until };
}

function described(filter: Filter): string {
  return (['device', 'reason', 'since', 'until'] as const)
    .flatMap((name) => (filter[name] === undefined ? [] : [`${name} ${filter[name]}`]))
    .join(', ');
}

/** @throws MeshError `usage` */
function checked<F extends Filter>(filter: F): F {
  if (filter.device !== undefined && !isDeviceId(filter.device))
    throw meshError('usage', `"${filter.device}" is not a device id`);
  return filter;
}

/** @throws MeshError `usage` */
function requireFilter({ device, reason, since, until }: Filter): void {
  if (device === undefined && reason === undefined && since === undefined && until === undefined)
    throw meshError('usage', 'name ids, or a filter: --device, --reason, --since or --until');
}

/** @throws MeshError `usage` */
function checkedId(text: string): number {
  const id = Number(text);
  if (/^\d+$/.test(text) && id >= 1 && Number.isSafeInteger(id)) return id;
  throw meshError('usage', `"${text}" is not the id of a rejected message: "mesh rejected list" shows them`);
}
