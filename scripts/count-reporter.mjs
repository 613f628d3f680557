/**
 * A reporter for node:test that writes one JSON document per line: when a file begins, when a file
 * ends, and the totals of the run.
 */
import path from 'node:path';

export default async function* countReporter(events) {
  let totals;
  for await (const { type, data } of events) {
    const word = { 'test:dequeue': 'begun', 'test:complete': 'ended' }[type];
    // A file is reported as a test with the name of the file.
    if (
      word !== undefined &&
      data.nesting === 0 &&
      data.file !== undefined &&
      path.resolve(data.name) === data.file
    )
      yield `${JSON.stringify({ [word]: data.name })}\n`;
    // The summary without a file is that of the whole run.
    if (type === 'test:summary' && data.file === undefined) totals = data.counts;
  }
  yield `${JSON.stringify({ totals: totals ?? null })}\n`;
}
