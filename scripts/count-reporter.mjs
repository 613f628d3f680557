/** A reporter for node:test that writes one JSON document a line: a file has begun, a file has ended, and the run's own totals. */
import path from 'node:path';

export default async function* countReporter(events) {
  let totals;
  for await (const { type, data } of events) {
    const word = { 'test:dequeue': 'begun', 'test:complete': 'ended' }[type];
    // A file is a test of its own name; what is in it has other names.
    if (
      word !== undefined &&
      data.nesting === 0 &&
      data.file !== undefined &&
      path.resolve(data.name) === data.file
    )
      yield `${JSON.stringify({ [word]: data.name })}\n`;
    // The summary without a file is the one of the whole run.
    if (type === 'test:summary' && data.file === undefined) totals = data.counts;
  }
  yield `${JSON.stringify({ totals: totals ?? null })}\n`;
}
