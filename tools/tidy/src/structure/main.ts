/**
 * `node tools/tidy/src/structure/main.ts [package folder …]`: prints circles of rooms, and the
 * layers of each package.
 */
import { layerOf } from '../../boundaries.mjs';
import { repository, trackedFiles } from '../repository.ts';
import { importsBelow } from './imports.ts';
import { findCircles, layersOf } from './rooms.ts';

const named = process.argv.slice(2);
for (const folder of named.length > 0 ? named : Object.keys(layerOf)) {
  const graph = importsBelow(repository, folder, trackedFiles());
  const circles = findCircles(graph);
  console.log(`\n${folder}: ${circles.length === 0 ? `${layersOf(graph).length} layers` : 'CIRCLES'}`);
  for (const circle of circles) console.log(`  ${circle}`);
  if (circles.length === 0 && named.length > 0)
    for (const layer of layersOf(graph)) console.log(`  ${layer.join(' ')}`);
  if (circles.length > 0) process.exitCode = 1;
}
