/**
 * `node tools/tidy/src/telemetry/main.ts`: prints every log event and metric that the code has, and
 * what it cannot read.
 */
import { readText, trackedFiles } from '../repository.ts';
import { mergeEvents, readTelemetry } from './events.ts';
import { telemetrySources } from './sources.ts';

const found = telemetrySources(trackedFiles()).map((file) => readTelemetry(file, readText(file)));
for (const { event, levels, fields, place } of mergeEvents(found.flatMap(({ events }) => events)))
  console.log(`${event} | ${levels.join('/')} | ${fields.join(', ')} | ${place}`);
for (const { name, type, place } of found.flatMap(({ metrics }) => metrics))
  console.log(`${name} | ${type} | ${place}`);
const unreadable = found.flatMap((each) => each.unreadable);
for (const { place, text } of unreadable) console.log(`UNREADABLE ${place} ${text}`);
process.exitCode = unreadable.length === 0 ? 0 : 1;
