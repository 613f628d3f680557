/** The bench as a process. */
import { codeOf, MeshError, messageOf } from '@thermomesh/runtime';
import { runBilling } from './billing/run.ts';
import { runEqualizer } from './equalizer/run.ts';
import { runIngest } from './ingest/run.ts';
import { readOptions, type BenchOptions } from './options.ts';
import { createScope, type Scope } from './parts/scope.ts';
import { renderDocument } from './view.ts';

const exitFailed = 1;
const exitUsage = 2;
const signalNumbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

const options = optionsOrExit();
const scope = createScope();
let ending = false;
for (const [signal, number] of Object.entries(signalNumbers)) {
  // `on`, not `once`: the same Ctrl-C may come from the terminal and from the parent process.
  process.on(signal, () => {
    if (!ending) console.error(`bench: ${signal}: ending everything`);
    ending = true;
    void scope.end().finally(() => process.exit(128 + number));
  });
}
// A reader that goes away (`mesh bench … | head`) ends the bench without a message, and its
// servers.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error) => {
    if (codeOf(error) !== 'EPIPE') throw error;
    ending = true;
    void scope.end().finally(() => process.exit());
  });
try {
  const document = await measure(options, { scope, say: (line) => console.error(line) });
  console.log(options.json ? JSON.stringify(document, undefined, 2) : renderDocument(document));
  if (options.strict && document.targets.some(({ ok }) => !ok)) process.exitCode = exitFailed;
} catch (error) {
  // After a signal, everything that is still running fails: that is expected.
  if (!ending) console.error(`bench: ${messageOf(error)}`);
  if (!ending && !(error instanceof MeshError)) console.error(error);
  process.exitCode = exitFailed;
} finally {
  await scope.end();
}

async function measure(wanted: BenchOptions, deps: { scope: Scope; say: (line: string) => void }) {
  switch (wanted.what) {
    case 'ingest':
      return runIngest({ ...wanted, ...deps });
    case 'billing':
      return runBilling({ ...wanted, ...deps });
    case 'equalizer':
      return runEqualizer({ ...wanted, ...deps });
  }
}

function optionsOrExit(): BenchOptions {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    const help = codeOf(error) === 'help';
    console[help ? 'log' : 'error'](messageOf(error));
    process.exit(help ? 0 : exitUsage);
  }
}
