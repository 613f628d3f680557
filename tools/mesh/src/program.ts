/** The command line: every subcommand with its help. */
import { MeshError } from '@thermomesh/runtime';
import { Command, Option } from 'commander';
import { addBench } from './commands/bench.ts';
import { addConfig } from './commands/config.ts';
import { addDown } from './commands/down.ts';
import { addApiKey, addDeviceToken } from './commands/keys.ts';
import { addChaos } from './commands/chaos.ts';
import { addDemo } from './commands/demo.ts';
import { addEqualize } from './commands/equalize.ts';
import { addLoad } from './commands/load.ts';
import { addPayments } from './commands/payments.ts';
import { addStatus } from './commands/status.ts';
import { addUp } from './commands/up.ts';
import { addVerify } from './commands/verify.ts';
import { addZk } from './commands/zk.ts';
import { openComposeMesh } from './compose/open.ts';
import type { MeshConfig } from './config.ts';

const help = `
Exit codes: 0 all is well, 1 a promise is broken or the work could not be done, 2 wrong usage.

First steps:
  mesh up --fleet                 start everything, with simulated thermostats
  mesh status                     (second terminal) who coordinates, do the accounts balance
  mesh chaos coordinator --load   kill it and watch the verdict

The same of a mesh in containers: mesh --target compose status`;

/** What can be asked of a mesh in containers; the rest is Compose's own (`docker compose up`, `down`, `logs`). */
const composeCommands = [
  ...['status', 'load', 'chaos', 'payments', 'equalize', 'verify'],
  ...['device-token', 'create', 'list', 'revoke'],
];

/** @param readConfig called when a subcommand runs, so that help works whatever the environment says */
export function createProgram(readConfig: () => MeshConfig): Command {
  let opened: MeshConfig['opened'];
  const program = new Command('mesh')
    .description(
      "A thermostat fleet's back end: start it, break it, and see that nothing acknowledged is lost",
    )
    .exitOverride()
    .showHelpAfterError('(--help shows the options and examples)')
    .addHelpText('after', help)
    .addOption(
      new Option(
        '--target <target>',
        'local: processes of "mesh up"; compose: containers of "docker compose up" (--name is the project then)',
      )
        .choices(['local', 'compose'])
        .default('local'),
    )
    .hook('preAction', async (_, command) => {
      if (program.opts<{ target: string }>().target !== 'compose') return;
      if (!composeCommands.includes(command.name()))
        throw new MeshError(
          'usage',
          `"${command.name()}" is for the local mesh; containers have "docker compose"`,
        );
      opened = await openComposeMesh(readConfig(), command.opts<{ name?: string }>().name ?? 'main');
    });
  const config = () => ({ ...readConfig(), ...(opened === undefined ? {} : { opened }) });
  addUp(program, config);
  addDown(program, config);
  addStatus(program, config);
  addLoad(program, config);
  addChaos(program, config);
  addPayments(program, config);
  addEqualize(program, config);
  addDemo(program, config);
  addConfig(program, config);
  addZk(program, config);
  addVerify(program, config);
  addBench(program, config);
  addDeviceToken(program, config);
  addApiKey(program, config);
  return program;
}
