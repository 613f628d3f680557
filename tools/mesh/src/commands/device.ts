/** `mesh device reset` opens a new life for a device. */
import { randomUUID } from 'node:crypto';
import { anonymousPrefix, DeviceIncarnationDocument, mayNameDevice } from '@thermomesh/contracts';
import { codeOf } from '@thermomesh/runtime';
import type { Command } from 'commander';
import { meshError } from '../errors.ts';
import { openMesh, type Mesh, type MeshContext } from '../mesh/mesh.ts';
import { checkDeviceId, printJson, wholeNumber, withOutput, type OutputOptions } from './options.ts';

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
  const group = program.command('device').description('act on one device').addHelpText('after', help);
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
