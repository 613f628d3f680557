/**
 * `node tools/tidy/src/prose/main.ts [path …]`: prints what the rules of prose find below these
 * paths, or everywhere.
 */
import { readText, trackedFiles } from '../repository.ts';
import { checkProse } from './rules.ts';
import { proseFiles } from './files.ts';

const paths = process.argv.slice(2);
const files = proseFiles(trackedFiles()).filter(
  (file) => paths.length === 0 || paths.some((place) => file.startsWith(place)),
);
let count = 0;
for (const file of files) {
  for (const { line, what } of checkProse(file, readText(file))) {
    console.log(`${file}:${line} ${what}`);
    count += 1;
  }
}
console.log(`${files.length} files, ${count} findings`);
process.exitCode = count === 0 ? 0 : 1;
