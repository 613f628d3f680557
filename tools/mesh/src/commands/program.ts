/** The command line with all its commands. */
import { Command, Option } from 'commander';
import { openComposeMesh } from '../compose/open.ts';
import type { MeshConfig } from '../config.ts';
import { meshError } from '../errors.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { addBench } from './bench.ts';
import { addChaos } from './chaos.ts';
import { addConfig } from './config.ts';
import { addDemo } from './demo.ts';
import { addDevice } from './device.ts';
import { addDown } from './down.ts';
import { addDrain } from './drain.ts';
import { addEqualize } from './equalize.ts';
import { addApiKey, addDeviceToken } from './keys.ts';
import { addKafka } from './kafka.ts';
import { addLoad } from './load.ts';
import { addPayments } from './payments.ts';
import { addRejected } from './rejected.ts';
import { addStatus } from './status.ts';
import { addUp } from './up.ts';
import { addVerify } from './verify.ts';
import { addZk } from './zk.ts';

const help = `
Exit codes: 0 success; 1 a promise is broken or the command failed; 2 wrong usage;
3 no promise is broken, but one was not judged (verify).

First steps:
  mesh up --fleet                 start everything, with simulated thermostats
  mesh status                     (second terminal) show the coordinator and the accounts
  mesh chaos coordinator --load   kill the coordinator and read the verdict

The same for a mesh in containers: mesh --target compose status`;

/**
 * Commands that work on a mesh in containers. Compose has its own for the rest (`docker compose
 * up`, `down`, `logs`).
 */
const composeCommands = ['status', 'load', 'chaos', 'payments', 'equalize', 'verify', 'device-token'];
/** Groups of commands of which each works on a mesh in containers. */
const composeGroups = ['api-key', 'drain', 'device', 'rejected'];

/** A group's name counts, not that of its command: `zk delete` is about the local mesh. */
function worksOnContainers(command: Command): boolean {
  const group = command.parent;
  const isGrouped = group !== null && group.parent !== null;
  return isGrouped ? composeGroups.includes(group.name()) : composeCommands.includes(command.name());
}

/** @param readConfig is called when a command runs, so that help works with any environment */
export function createProgram(readConfig: () => MeshConfig): Command {
  let containers: Mesh | undefined;
  const program = new Command('mesh')
    .description(
      'Start the back end of a thermostat fleet, break it, and check that nothing acknowledged is lost',
    )
    .exitOverride()
    .showHelpAfterError('(--help shows the options and examples)')
    .addHelpText('after', help)
    .addOption(
      new Option(
        '--target <target>',
        'local: the processes of "mesh up"; compose: the containers of "docker compose up" (--name is the project)',
      )
        .choices(['local', 'compose'])
        .default('local'),
    )
    .hook('preAction', async (_, command) => {
      if (program.opts<{ target: string }>().target !== 'compose') return;
      if (!worksOnContainers(command))
        throw meshError(
          'usage',
          `"${command.name()}" works on the local mesh only; for containers use "docker compose"`,
        );
      containers = await openComposeMesh(readConfig(), command.opts<{ name?: string }>().name ?? 'main');
    });
  const context = () => ({ config: readConfig(), containers });
  addUp(program, readConfig);
  addDown(program, readConfig);
  addStatus(program, context);
  addLoad(program, context);
  addChaos(program, context);
  addPayments(program, context);
  addEqualize(program, context);
  addDemo(program, readConfig);
  addConfig(program, readConfig);
  addZk(program, readConfig);
  addDrain(program, context);
  addVerify(program, context);
  addBench(program, readConfig);
  addDevice(program, context);
  addRejected(program, context);
  addKafka(program, readConfig);
  addDeviceToken(program, context);
  addApiKey(program, context);
  return program;
}
