/** `mesh demo` shows properties of the libraries by numbers. */
import { randomInt } from 'node:crypto';
import type { Command } from 'commander';
import type { MeshConfig } from '../config.ts';
import { demonstrateSemantics } from '../demos/rpc-semantics.ts';
import { openDemoServers } from '../demos/servers.ts';
import { addRecipeDemos } from './demo-recipes.ts';
import { addZooKeeperDemos } from './demo-zookeeper.ts';
import { numberWithin, printJson, say, wholeNumber, withOutput, type OutputOptions } from './options.ts';
import { renderSemantics } from './view/payments.ts';

interface SemanticsFlags extends OutputOptions {
  calls: number;
  loss: number;
  seed?: number;
}

const seedMax = 0xffff_ffff;

const help = `
Calls to billing go over a link that loses tries in three ways, a third each: it refuses the
connection, loses the request, or loses the reply.
  maybe                   tries once.
  at-least-once, no UUID  tries until there is an answer, and charges again for each lost reply.
  at-most-once            tries again only if the request certainly did not arrive: it never charges
                          twice, and sometimes not at all.
  at-least-once, UUID     charges each call once.
The counts come from the card processor's own ledger. The demonstration uses the running mesh if
that is up with payments, or else temporary servers.

Exit code: 1 if a call with a UUID is charged twice, or a call of at-least-once is lost or
unanswered.

Examples:
  mesh demo rpc-semantics
  mesh demo rpc-semantics --calls 1000 --loss 0.5 --seed 7 --json`;

export function addDemo(program: Command, config: () => MeshConfig): void {
  const demo = program.command('demo').description('demonstrate properties of the libraries, with numbers');
  addZooKeeperDemos(demo, config);
  addRecipeDemos(demo, config);
  withOutput(demo.command('rpc-semantics'))
    .description('compare four kinds of call semantics over the same lossy link')
    .option('--calls <n>', 'number of calls of each kind', wholeNumber(1, 100_000), 200)
    .option('--loss <share>', 'share of the tries that are lost', numberWithin(0, 0.9), 0.3)
    .option('--seed <n>', 'seed of the losses (default: a random one)', wholeNumber(0, seedMax))
    .addHelpText('after', help)
    .action(async (flags: SemanticsFlags) => {
      const interrupted = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
      // A signal during the start is handled once there is something to stop.
      const servers = await openDemoServers(config(), flags.name);
      const stop = () => void servers.close().finally(() => process.exit(1));
      if (interrupted.signal.aborted) return stop();
      interrupted.signal.addEventListener('abort', stop, { once: true });
      try {
        say(`billing and card processor: ${servers.origin}`);
        const document = await demonstrateSemantics(servers, {
          calls: flags.calls,
          loss: flags.loss,
          seed: flags.seed ?? randomInt(seedMax),
          onProgress: (line) => process.stderr.isTTY && say(line),
        });
        if (flags.json === true) printJson(document);
        else console.log(renderSemantics(document, process.stdout.isTTY));
        if (!document.ok) process.exitCode = 1;
      } finally {
        await servers.close();
      }
    });
}
