/** `mesh payments` */
import { randomInt } from 'node:crypto';
import type { Command } from 'commander';
import { MeshError } from '@thermomesh/runtime';
import { createLogUpdate } from 'log-update';
import { openMesh } from '../client/mesh.ts';
import type { MeshConfig } from '../config.ts';
import { runPayments } from '../payments/run.ts';
import { describePaymentFinding, renderPayments } from '../view/payments.ts';
import { numberWithin, printJson, say, wholeNumber, withOutput, type OutputOptions } from './options.ts';

interface PaymentsFlags extends OutputOptions {
  requests: number;
  uuids: number;
  concurrency: number;
  chaos?: boolean;
  seed?: number;
  timeoutSeconds: number;
  recoverySeconds: number;
}

const seedMax = 0xffff_ffff;

const help = `
Every order has one customer key. Its customer sends it several times at once and again, each time until there is
a 202, follows it to its final answer, and sends it once more. --chaos kills and freezes gateway, billing, card
processor, Redis and PostgreSQL in turn, each at least once, and lets the card processor refuse, decline, delay,
hang, and drop requests and replies.

The verdict compares what the customers have seen with the card processor's own ledger, billing's books and the
table of checkouts, order by order and in sum. lost, doubled, differing and inDoubt must be 0; in doubt is what
has no final answer 5 s after everything is whole again and every order has its 202s (all but its last). An order
that the processor has declined is in order; one that ended as failed is lost, for every order of a run is good.

Exit code: 1 if a promise is broken; the orders concerned are printed.

Examples:
  mesh payments --requests 2000 --uuids 200
  mesh payments --requests 100000 --uuids 10000 --chaos --json
  mesh payments --requests 5000 --uuids 500 --chaos --seed 42 --name second`;

export function addPayments(program: Command, config: () => MeshConfig): void {
  withOutput(program.command('payments'))
    .description(
      'customers order, retry and duplicate; judged by the card processor: each order is charged once',
    )
    .option('--requests <n>', 'requests, of all customers together', wholeNumber(1, 10_000_000), 10_000)
    .option('--uuids <n>', 'orders, each with one customer key', wholeNumber(1, 1_000_000), 1_000)
    .option('--concurrency <n>', 'customers at once', wholeNumber(1, 1_000), 48)
    .option('--chaos', 'kill, freeze and switch faults on meanwhile')
    .option('--seed <n>', 'of amounts and blows; a new one if left out', wholeNumber(0, seedMax))
    .option('--timeout-seconds <n>', 'until every request has its 202', numberWithin(1, 86_400), 3_600)
    .option('--recovery-seconds <n>', 'how long one part may take to be back', numberWithin(1, 3_600), 60)
    .addHelpText('after', help)
    .action(async (flags: PaymentsFlags) => {
      if (flags.requests < flags.uuids)
        throw new MeshError('usage', '--requests must not be below --uuids: every order needs one');
      const mesh = openMesh(config(), flags.name);
      const seed = flags.seed ?? randomInt(seedMax);
      say(`seed ${seed}: --seed ${seed} orders the same amounts and plays the same blows again`);
      const interrupted = new AbortController();
      // Ended in order: what was frozen is woken, faults are switched off, and what was ordered is judged.
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
      const live = process.stderr.isTTY ? createLogUpdate(process.stderr) : undefined;
      const document = await runPayments(mesh, {
        requests: flags.requests,
        uuids: flags.uuids,
        concurrency: flags.concurrency,
        chaos: flags.chaos === true,
        seed,
        timeoutMs: flags.timeoutSeconds * 1_000,
        recoveryTimeoutMs: flags.recoverySeconds * 1_000,
        onProgress: (line) => live?.(line),
        interrupted: interrupted.signal,
      }).finally(() => live?.done());
      for (const finding of document.findings) say(describePaymentFinding(finding));
      if (flags.json === true) printJson(document);
      else console.log(renderPayments(document));
      if (!document.ok) process.exitCode = 1;
    });
}
