/** `mesh bench` starts the bench, a program of its own, as a child process. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Command } from 'commander';
import type { MeshConfig } from '../config.ts';
import { withOutput, type OutputOptions } from './options.ts';

interface BenchFlags extends OutputOptions {
  quick?: boolean;
  strict?: boolean;
  only?: string;
  profile?: string;
}

const help = `
The bench starts its own servers in a temporary folder and stops them; it touches no running mesh.
Exit code: 1 if an arm could not be measured, else 0. With --strict a missed target is 1 too.

Examples:
  mesh bench ingest --quick
  mesh bench ingest --only drain,failover --json
  mesh bench billing --quick
  mesh bench equalizer --quick`;

const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export function addBench(program: Command, config: () => MeshConfig): void {
  withOutput(program.command('bench'))
    .description('measure on this machine, each arm beside another one in the same run')
    .argument('<what>', 'ingest (readings), billing (payments) or equalizer (images)')
    .option('--quick', 'take about a minute instead of 20 (ingest), 8 (billing) or 12 (equalizer)')
    .option('--strict', 'exit with 1 if a target is missed')
    .option(
      '--only <parts>',
      'only for ingest: publish, end-to-end, latency, drain, failover, or several with commas',
    )
    .option('--profile <folder>', 'write CPU profiles of the measured programs there')
    .addHelpText('after', help)
    .action(async (what: string, flags: BenchFlags) => {
      process.exitCode = await runBench(config(), [what, ...wordsOf(flags)]);
    });
}

function wordsOf({ name, only, profile, ...flags }: BenchFlags): string[] {
  const switches = (['quick', 'json', 'strict'] as const).filter((flag) => flags[flag] === true);
  const values = Object.entries({ name, only, profile }).filter(([, value]) => value !== undefined);
  return [
    ...switches.map((flag) => `--${flag}`),
    ...values.flatMap(([flag, value]) => [`--${flag}`, String(value)]),
  ];
}

/** Runs the bench and resolves with its exit code. */
async function runBench({ root, environment }: MeshConfig, words: string[]): Promise<number> {
  const child = spawn(process.execPath, [path.join(root, 'bench/src/main.ts'), ...words], {
    env: environment,
    stdio: 'inherit',
  });
  // In a terminal the bench receives Ctrl-C itself; it stops its servers only once.
  const forward = (signal: NodeJS.Signals) => void child.kill(signal);
  for (const signal of passedOn) process.on(signal, forward);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    for (const signal of passedOn) process.off(signal, forward);
  }
}
