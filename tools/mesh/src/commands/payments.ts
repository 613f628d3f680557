/** `mesh payments` plays customers that order, and judges the charges. */
import { randomInt } from 'node:crypto';
import type { Command } from 'commander';
import { createLogUpdate } from 'log-update';
import { meshError } from '../errors.ts';
import { openMesh, type MeshContext } from '../mesh/mesh.ts';
import { runPayments } from '../workloads/payments/run.ts';
import { numberWithin, printJson, say, wholeNumber, withOutput, type OutputOptions } from './options.ts';
import { describePaymentFinding, renderPayments } from './view/payments.ts';

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
Every order has one customer key. Its customer sends it several times at once and then again, each
time until it gets a 202, follows it to its final answer, and sends it once more. --chaos kills and
freezes gateway, billing, card processor, Redis and PostgreSQL, each at least once, and makes the
card processor refuse, decline, delay, hang, and drop requests and replies.

The verdict compares four records, order by order and in sum: what the customers saw, the card
processor's own ledger, billing's books and the table of checkouts. lost, doubled, differing and
inDoubt must be 0. An order is in doubt if it has no final answer 5 s after the mesh is whole again
and every request but the last one of each order has its 202. A declined order is correct. A failed
order counts as lost, because every order of a run is valid.

Exit code: 1 if a promise is broken; the orders concerned are printed.

Examples:
  mesh payments --requests 2000 --uuids 200
  mesh payments --requests 100000 --uuids 10000 --chaos --json
  mesh payments --requests 5000 --uuids 500 --chaos --seed 42 --name second`;

export function addPayments(program: Command, context: () => MeshContext): void {
  withOutput(program.command('payments'))
    .description(
      'play customers that order, retry and duplicate; the card processor must charge each order once',
    )
    .option(
      '--requests <n>',
      'number of requests of all customers together',
      wholeNumber(1, 10_000_000),
      10_000,
    )
    .option('--uuids <n>', 'number of orders, each with one customer key', wholeNumber(1, 1_000_000), 1_000)
    .option('--concurrency <n>', 'number of customers at the same time', wholeNumber(1, 1_000), 48)
    .option('--chaos', 'inject faults meanwhile: kill, freeze, and failures of the card processor')
    .option('--seed <n>', 'seed of amounts and faults (default: a random one)', wholeNumber(0, seedMax))
    .option(
      '--timeout-seconds <n>',
      'time limit until every request has its 202',
      numberWithin(1, 86_400),
      3_600,
    )
    .option('--recovery-seconds <n>', 'time limit for one recovery of a process', numberWithin(1, 3_600), 60)
    .addHelpText('after', help)
    .action(async (flags: PaymentsFlags) => {
      if (flags.requests < flags.uuids)
        throw meshError(
          'usage',
          '--requests must not be less than --uuids: every order needs at least one request',
        );
      const mesh = openMesh(context(), flags.name);
      const seed = flags.seed ?? randomInt(seedMax);
      say(`seed ${seed}: --seed ${seed} repeats the same amounts and the same faults`);
      const interrupted = new AbortController();
      // The run ends gracefully: frozen processes continue, faults are switched off, and the orders
      // so far are judged.
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
