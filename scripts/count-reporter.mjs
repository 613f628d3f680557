/** A reporter for node:test that writes the run's own totals as one JSON document. */
export default async function* countReporter(events) {
  let totals;
  for await (const { type, data } of events) {
    // The summary without a file is the one of the whole run.
    if (type === 'test:summary' && data.file === undefined) totals = data.counts;
  }
  yield JSON.stringify(totals ?? null);
}
