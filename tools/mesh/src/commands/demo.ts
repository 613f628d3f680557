/** `mesh demo` */
import { randomInt } from 'node:crypto';
import type { Command } from 'commander';
import type { MeshConfig } from '../config.ts';
import { demonstrateSemantics } from '../demo/rpc-semantics.ts';
import { openDemoServers } from '../demo/servers.ts';
import { renderSemantics } from '../view/payments.ts';
import { addRecipeDemos } from './demo-recipes.ts';
import { addZooKeeperDemos } from './demo-zookeeper.ts';
import { numberWithin, printJson, say, wholeNumber, withOutput, type OutputOptions } from './options.ts';

interface SemanticsFlags extends OutputOptions {
  calls: number;
  loss: number;
  seed?: number;
}

const seedMax = 0xffff_ffff;

const help = `
One and the same link loses tries of calls to billing: it refuses the connection, loses the request, or loses the
reply, a third each. maybe tries once; at-least-once tries until there is an answer, and without a transaction UUID
charges again for each lost reply; at-most-once tries again only if the request has certainly not arrived, so it
charges never twice and sometimes not at all; at-least-once with the UUID charges each call once. The counts are those
of the card processor's own ledger.

It uses the running mesh if that is up with payments, else temporary servers that end with it.

Exit code: 1 if a call with a UUID is charged twice, or one of at-least-once is lost or unanswered.

Examples:
  mesh demo rpc-semantics
  mesh demo rpc-semantics --calls 1000 --loss 0.5 --seed 7 --json`;

export function addDemo(program: Command, config: () => MeshConfig): void {
  const demo = program.command('demo').description('demonstrations, with numbers');
  addZooKeeperDemos(demo, config);
  addRecipeDemos(demo, config);
  withOutput(demo.command('rpc-semantics'))
    .description('maybe, at-least-once, at-most-once, and at-least-once with a UUID over the same lossy link')
    .option('--calls <n>', 'of each kind', wholeNumber(1, 100_000), 200)
    .option('--loss <share>', 'of the tries', numberWithin(0, 0.9), 0.3)
    .option('--seed <n>', 'of what is lost; a new one if left out', wholeNumber(0, seedMax))
    .addHelpText('after', help)
    .action(async (flags: SemanticsFlags) => {
      const interrupted = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
      // A signal during the start is heard when there is something to end.
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
