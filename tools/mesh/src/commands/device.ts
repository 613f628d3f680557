/** `mesh device` lists, shows and exports devices, opens a new life for one, and erases one. */
import { randomUUID } from 'node:crypto';
import {
  anonymousPrefix,
  DeviceIncarnationDocument,
  DevicePage,
  DeviceView,
  ErasedDevice,
  ErasedRows,
  IncarnationPage,
  mayNameDevice,
  RejectionCountPage,
} from '@thermomesh/contracts';
import { codeOf } from '@thermomesh/runtime';
import type { Command } from 'commander';
import { meshError } from '../errors.ts';
import { askAnalytics, queryOf, readPages } from '../mesh/analytics.ts';
import { openMesh, type Mesh, type MeshContext } from '../mesh/mesh.ts';
import { exportReadings } from '../mesh/export.ts';
import { confirm, withYes, type YesOption } from './confirm.ts';
import { renderDevice, renderDevices, type DeviceDocument } from './view/data.ts';
import {
  checkDeviceId,
  printJson,
  wholeNumber,
  withName,
  withOutput,
  type NameOption,
  type OutputOptions,
} from './options.ts';

const groupHelp = `
Examples:
  mesh device list
  mesh device show room-1 --json
  mesh device export room-1 > room-1.csv
  mesh device reset room-1
  mesh device delete room-1 --yes`;

const deleteHelp = `
Erases the readings, the rejected messages and the latest state of a device, in steps beside the
drain. Numbers remain, so that the accounts and "mesh verify" stay true. Stop the device first: what
it publishes afterwards, or what the gateway still buffers, makes it a new device of incarnation 0.
Backups, and for some minutes the gateway's store, still hold what was erased.

Exit code: 1 if nothing of the device is stored, or no analytics node answers.

Example:
  mesh device delete room-1 --yes --json`;

const help = `
Use it when a device was replaced, or has lost its memory and counts from 0 again, and does not name
its incarnation itself. Its next readings begin a new life: they do not conflict with the former
ones, and the latest state follows them at once. Readings that the gateway still buffers belong to
the new life too; what a device has sent before and sends again is recognised.

Exit code: 1 if no analytics node answers, or the incarnation is not above all that are known.

Examples:
  mesh device reset room-1
  mesh device reset room-1 --incarnation 7 --json`;

export function addDevice(program: Command, context: () => MeshContext): void {
  const group = program
    .command('device')
    .description('list, show, export, reset and delete devices')
    .addHelpText('after', groupHelp);
  withOutput(group.command('list'))
    .description('list the devices with their latest values')
    .option('--limit <n>', 'maximum number of devices', wholeNumber(1, 1_000_000), 100)
    .action(async (options: OutputOptions & { limit: number }) => {
      const mesh = openMesh(context(), options.name);
      const items = await readPages(options.limit, async (limit, cursor) =>
        askAnalytics(mesh, 'GET', `/v1/devices${queryOf({ limit, cursor })}`, DevicePage),
      );
      if (options.json === true) printJson({ items });
      else console.log(renderDevices(items, process.stdout.isTTY));
    });
  withOutput(group.command('show <device>'))
    .description('show the latest values of a device, its incarnations and its rejections')
    .action(async (device: string, options: OutputOptions) => {
      checkResettable(device);
      const document = await describeDevice(openMesh(context(), options.name), device);
      if (options.json === true) printJson(document);
      else console.log(renderDevice(document, process.stdout.isTTY));
    });
  withName(group.command('export <device>'))
    .description('print the readings of a device as CSV, for spreadsheets')
    .option('--from <time>', 'measured at this time or later (RFC 3339 with a zone, or Unix ms)')
    .option('--to <time>', 'measured before this time')
    .addHelpText('after', '\nExample:\n  mesh device export room-1 --from 2026-01-01T00:00:00Z > room-1.csv')
    .action(async (device: string, { name, from, to }: NameOption & { from?: string; to?: string }) => {
      checkResettable(device);
      const mesh = openMesh(context(), name);
      await exportReadings(mesh, { device, from, to }, (lines) => process.stdout.write(lines));
    });
  withYes(withOutput(group.command('delete <device>')))
    .description('erase the data of a device for good')
    .addHelpText('after', deleteHelp)
    .action(async (device: string, options: OutputOptions & YesOption) => {
      checkResettable(device);
      const mesh = openMesh(context(), options.name);
      await confirm(`this erases all readings and rejected messages of "${device}"`, options);
      const erased = await eraseDevice(mesh, device);
      if (options.json === true) return printJson(erased);
      console.log(
        `erased ${erased.readings} readings and ${erased.rejections} rejected messages of ${device}`,
      );
      console.log('if it publishes again, it is a new device of incarnation 0');
    });
  withOutput(group.command('reset <device>'))
    .description('open the next incarnation for a device that has lost its memory')
    .option(
      '--incarnation <n>',
      'the incarnation to open (default: the next one)',
      wholeNumber(1, Number.MAX_SAFE_INTEGER),
    )
    .addHelpText('after', help)
    .action(async (device: string, options: OutputOptions & { incarnation?: number }) => {
      checkResettable(device);
      const opened = await openIncarnation(openMesh(context(), options.name), device, options.incarnation);
      if (options.json === true) printJson(opened);
      else console.log(`${device} begins incarnation ${opened.incarnation}`);
    });
}

/**
 * An anonymous device has a life too; a name that no device can have is a slip.
 * @throws MeshError `usage`
 */
function checkResettable(device: string): void {
  checkDeviceId(device, (id) => mayNameDevice(id) || id.startsWith(anonymousPrefix));
}

/**
 * Asks one analytics node after the other, under one key, so that a lost answer opens no second
 * incarnation.
 * @throws MeshError `mesh.refused`, `mesh.not_up`, `mesh.no_answer`
 */
async function openIncarnation(
  mesh: Mesh,
  device: string,
  incarnation: number | undefined,
): Promise<DeviceIncarnationDocument> {
  const nodes = (mesh.run()?.processes ?? []).filter(({ role, url }) => role === 'analytics' && url !== null);
  const request = { key: randomUUID(), body: incarnation === undefined ? {} : { incarnation } };
  let failure: unknown = meshError('mesh.not_up', `mesh "${mesh.name}" has no analytics node`);
  for (const { url } of nodes) {
    try {
      const route = `${url}/v1/devices/${device}/incarnations`;
      return await mesh.http.postOnce(route, DeviceIncarnationDocument, request);
    } catch (error) {
      if (codeOf(error) === 'mesh.refused') throw error;
      failure = error;
    }
  }
  throw failure;
}

/** @throws MeshError `mesh.refused` if the device is not known */
async function describeDevice(mesh: Mesh, id: string): Promise<DeviceDocument> {
  const route = `/v1/devices/${id}`;
  const most = 1_000;
  const device = await askAnalytics(mesh, 'GET', route, DeviceView);
  const [incarnations, rejections, erased] = await Promise.all([
    askAnalytics(mesh, 'GET', `${route}/incarnations${queryOf({ limit: most })}`, IncarnationPage),
    askAnalytics(mesh, 'GET', `${route}/rejections${queryOf({ limit: most })}`, RejectionCountPage),
    askAnalytics(mesh, 'GET', `${route}/erased`, ErasedRows),
  ]);
  return { device, incarnations: incarnations.items, rejections: rejections.items, erased: erased.items };
}

/**
 * Erases step by step until nothing is left.
 * @throws MeshError `mesh.refused` if nothing of the device is stored
 */
async function eraseDevice(mesh: Mesh, device: string): Promise<ErasedDevice> {
  const total = { deviceId: device, readings: 0, rejections: 0, complete: false };
  while (!total.complete) {
    const step = await askAnalytics(mesh, 'DELETE', `/v1/devices/${device}`, ErasedDevice);
    total.readings += step.readings;
    total.rejections += step.rejections;
    total.complete = step.complete;
  }
  return total;
}
