/** The bench as a process. */
import { MeshError, messageOf } from '@thermomesh/runtime';
import { readOptions, type BenchOptions } from './config.ts';
import { runBilling } from './billing/run.ts';
import { runEqualizer } from './equalizer/run.ts';
import { runIngest } from './ingest/run.ts';
import { createScope, type Scope } from './parts/scope.ts';
import { renderDocument } from './view.ts';

const exitFailed = 1;
const exitUsage = 2;
const signalNumbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

const options = optionsOrExit();
const scope = createScope();
let ending = false;
for (const [signal, number] of Object.entries(signalNumbers)) {
  // Not once: the same Ctrl-C may come from the terminal and from whoever started this.
  process.on(signal, () => {
    if (!ending) console.error(`bench: ${signal}, ending everything`);
    ending = true;
    void scope.end().finally(() => process.exit(128 + number));
  });
}
try {
  const surroundings = { scope, say: (line: string) => console.error(line) };
  const document = await measure(options, surroundings);
  console.log(options.json ? JSON.stringify(document, undefined, 2) : renderDocument(document));
  if (options.strict && document.targets.some(({ ok }) => !ok)) process.exitCode = exitFailed;
} catch (error) {
  // Whatever fails because everything is being ended is no news.
  if (!ending) console.error(`bench: ${messageOf(error)}`);
  if (!ending && !(error instanceof MeshError)) console.error(error);
  process.exitCode = exitFailed;
} finally {
  await scope.end();
}

async function measure(wanted: BenchOptions, surroundings: { scope: Scope; say: (line: string) => void }) {
  switch (wanted.what) {
    case 'ingest':
      return runIngest({ ...wanted, ...surroundings });
    case 'billing':
      return runBilling({ ...wanted, ...surroundings });
    case 'equalizer':
      return runEqualizer({ ...wanted, ...surroundings });
  }
}

function optionsOrExit(): BenchOptions {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    const help = error instanceof MeshError && error.code === 'help';
    console[help ? 'log' : 'error'](messageOf(error));
    process.exit(help ? 0 : exitUsage);
  }
}
