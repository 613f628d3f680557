/** A reporter for node:test that writes one JSON document a line: a file has begun, a file has ended, and the run's own totals. */
import path from 'node:path';

export default async function* countReporter(events) {
  let totals;
  for await (const { type, data } of events) {
    // A file is a test of its own name; what is in it has other names.
    if (data.nesting === 0 && data.file !== undefined && path.resolve(data.name) === data.file) {
      if (type === 'test:dequeue') yield `${JSON.stringify({ begun: data.name })}\n`;
      if (type === 'test:complete') yield `${JSON.stringify({ ended: data.name })}\n`;
    }
    // The summary without a file is the one of the whole run.
    if (type === 'test:summary' && data.file === undefined) totals = data.counts;
  }
  yield `${JSON.stringify({ totals: totals ?? null })}\n`;
}
