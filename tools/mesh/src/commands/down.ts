/** `mesh down` stops a mesh, and removes its data if asked to. */
import type { Command } from 'commander';
import type { MeshConfig } from '../config.ts';
import { downMesh } from '../local/down.ts';
import { findData, removeData, type MeshData } from '../local/wipe.ts';
import { layoutOf } from '../mesh/files/layout.ts';
import { requireMesh } from '../mesh/files/secrets.ts';
import { confirm, withYes, type YesOption } from './confirm.ts';
import { printJson, say, withOutput, type OutputOptions } from './options.ts';
import { describeEvent } from './view/events.ts';

const help = `
--wipe also removes everything that the mesh has stored on this machine: readings, orders, images,
secrets, API keys, ledgers and logs. It asks first; --yes confirms, for scripts. Other meshes, and
servers that DATABASE_URL, REDIS_URL, ZOOKEEPER_HOSTS or KAFKA_BROKERS name, are left alone.

Examples:
  mesh down
  mesh down --name second
  mesh down --name second --wipe`;

const mebibyte = 1024 * 1024;

export function addDown(program: Command, config: () => MeshConfig): void {
  withYes(withOutput(program.command('down')))
    .description('stop a mesh, wherever it was started, and what a killed supervisor left behind')
    .option('--wipe', 'then remove all data of this mesh from this machine')
    .addHelpText('after', help)
    .action(async (flags: OutputOptions & YesOption & { wipe?: boolean }) => {
      const { name, json } = flags;
      requireMesh(layoutOf(config().home, name));
      const data = flags.wipe === true ? findData(config(), name) : undefined;
      if (data !== undefined) await confirm(question(name, data), flags);
      const result = await downMesh(config(), name, (event) => say(describeEvent(event)));
      if (data !== undefined) await removeData(config(), name);
      if (json === true) return printJson({ name, ...result, wiped: data ?? null });
      console.log(
        result.supervisor || result.leftovers > 0
          ? `the mesh "${name}" is down`
          : `the mesh "${name}" was not up`,
      );
      if (data !== undefined) console.log(removedLines(data).join('\n'));
    });
}

function question(name: string, { folders }: MeshData): string {
  return `this stops the mesh "${name}" and removes all its data: ${folders.map(folderText).join(', ')}`;
}

function removedLines({ folders, untouched }: MeshData): string[] {
  return [
    ...folders.map((folder) => `removed ${folderText(folder)}`),
    ...untouched.map((what) => `left alone: ${what}`),
  ];
}

function folderText({ path, bytes, files }: MeshData['folders'][number]): string {
  return `${path} (${files} files, ${(bytes / mebibyte).toFixed(1)} MiB)`;
}
