#!/usr/bin/env node
// Plain JavaScript, so that it also runs on the machine's own Node: it hands over to the pinned Node 24.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const nodeMajorMin = 24;

if (Number(process.versions.node.split('.')[0]) >= nodeMajorMin) {
  await import(main);
} else {
  const pinned = createRequire(import.meta.url).resolve('node/bin/node');
  if (!existsSync(pinned)) {
    console.error(`mesh: the pinned Node ${nodeMajorMin} is not installed; run "npm install" in the repository first`);
    process.exit(1);
  }
  const child = spawnSync(pinned, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  if (child.error) throw child.error;
  if (child.signal) process.kill(process.pid, child.signal);
  process.exit(child.status ?? 1);
}
