/** A program that draws an image before and after its equalization. */
import { parseArgs } from 'node:util';
import { messageOf } from '@thermomesh/runtime';
import { drawBeforeAfter } from '../../image/picture.ts';

const usage = `Usage: node src/programs/picture/main.ts BEFORE AFTER OUT.png

Writes a PNG: both images side by side, each above its histogram of luma.`;

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { help: { type: 'boolean' } },
  });
  const [before, after, out] = positionals;
  if (values.help === true || before === undefined || after === undefined || out === undefined) {
    console.log(usage);
    process.exit(values.help === true ? 0 : 2);
  }
  await drawBeforeAfter(before, after, out);
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
}
