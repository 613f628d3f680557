#!/usr/bin/env node
// Plain JavaScript, so that it also runs on the machine's own Node: it hands over to the pinned
// Node 24.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const nodeMajorMin = 24;

if (Number(process.versions.node.split('.')[0]) >= nodeMajorMin) {
  await import(main);
} else {
  const pinned = pinnedNode();
  if (pinned === undefined) {
    console.error(
      `mesh: the pinned Node ${nodeMajorMin} is not installed; run "npm install" in the repository first`,
    );
    process.exit(1);
  }
  const child = spawn(pinned, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // A signal for this process is meant for the mesh; from a terminal it may arrive there twice,
  // which does no harm.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.once('error', (error) => {
    console.error(`mesh: ${error.message}`);
    process.exit(1);
  });
  child.once('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function pinnedNode() {
  try {
    const file = createRequire(import.meta.url).resolve('node/bin/node');
    return existsSync(file) ? file : undefined;
  } catch {
    // The package is not there at all.
    return undefined;
  }
}
