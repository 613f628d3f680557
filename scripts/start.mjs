/**
 * `npm start`: installs what is missing and runs the whole mesh with a simulated fleet, until
 * Ctrl-C. Arguments go to `mesh up`.
 */
import path from 'node:path';
import { runChild } from './child.mjs';
import { ensureInstalled, pinnedNode, root } from './install.mjs';

try {
  await ensureInstalled((line) => console.error(line));
  const mesh = path.join(root, 'tools/mesh/src/main.ts');
  const { code } = await runChild(pinnedNode, [mesh, 'up', '--fleet', ...process.argv.slice(2)]);
  process.exitCode = code;
} catch (error) {
  console.error(`npm start: ${error.message}`);
  process.exitCode = 1;
}
