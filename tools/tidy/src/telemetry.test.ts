import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readText, repository, trackedFiles } from './repository.ts';
import { readErrorCodes } from './telemetry/codes.ts';
import { readDocumentedCodes, readDocumentedEvents, readDocumentedMetrics } from './telemetry/documented.ts';
import { mergeEvents, readTelemetry, type Telemetry } from './telemetry/events.ts';
import { telemetrySources } from './telemetry/sources.ts';

const document = readText('docs/telemetry.md');
const sources = telemetrySources(trackedFiles());

function scan(files: readonly string[], read = readText): Telemetry {
  const found = files.map((file) => readTelemetry(file, read(file)));
  return {
    events: mergeEvents(found.flatMap(({ events }) => events)),
    metrics: found.flatMap(({ metrics }) => metrics),
    unreadable: found.flatMap(({ unreadable }) => unreadable),
  };
}

const eventLines = (events: readonly { event: string; levels: string[]; fields: string[] }[]) =>
  events.map(({ event, levels, fields }) => `${event}: ${levels.join('/')}: ${fields.join(', ')}`).sort();
const metricLines = (metrics: readonly { name: string; type: string }[]) =>
  [...new Set(metrics.map(({ name, type }) => `${name}: ${type}`))].sort();

describe('docs/telemetry.md', () => {
  const code = scan(sources);

  it('lists every log event of the code with its levels and fields, and no other', () =>
    assert.deepEqual(eventLines(readDocumentedEvents(document)), eventLines(code.events)));

  it('says of every event what an operator does', () =>
    assert.deepEqual(
      readDocumentedEvents(document)
        .filter(({ action }) => action.length < 10)
        .map(({ event }) => event),
      [],
    ));

  it('lists every metric of the code with its type, and no other', () =>
    assert.deepEqual(metricLines(readDocumentedMetrics(document)), metricLines(code.metrics)));

  it('lists every error code with its packages and whether it is retriable', async () => {
    const lists = await readErrorCodes(repository, sources);
    const codes = [...new Set(lists.map(({ code: each }) => each))].sort();
    const lines = codes.map((each) => {
      const entries = lists.filter((entry) => entry.code === each);
      const packages = [...new Set(entries.map((entry) => entry.package))].sort();
      return `${each}: ${[...new Set(entries.map(({ retriable }) => retriable))].join('/')}: ${packages.join(', ')}`;
    });
    const documented = readDocumentedCodes(document)
      .map(({ code: each, retriable, packages }) => `${each}: ${retriable}: ${packages.join(', ')}`)
      .sort();
    assert.deepEqual(documented, lines.sort());
  });

  it('every log call and every metric of the code can be read: its name is a literal', () =>
    assert.deepEqual(code.unreadable, []));
});

/** True if the text has the code as a literal, or makes it of its two halves. */
function isUsed(code: string, text: string): boolean {
  const [noun = '', ...rest] = code.split('.');
  const verb = rest.join('.');
  return (
    text.includes(`'${code}'`) ||
    text.includes(`}.${verb}\``) ||
    (text.includes(`\`${noun}.\${`) && text.includes(`'${verb}'`))
  );
}

describe('closed lists of error codes', () => {
  it('no error is made with a code beside the list of its package', () => {
    // A code that comes from another package or process is passed on as it is: it is a variable.
    const beside = sources.filter((file) => /\bnew MeshError\(\s*['"`]/.test(readText(file)));
    assert.deepEqual(beside, []);
  });

  it('every listed code is used outside its list', async () => {
    const lists = await readErrorCodes(repository, sources);
    const texts = new Map<string, string>();
    for (const file of sources) {
      const owner = file.split('/').slice(0, 2).join('/');
      // The list itself is no use of a code; what else stands in its file is.
      const text = readText(file).replace(/^ {2}'[\w.]+': \{[^}]*\},?$/gm, '');
      texts.set(owner, `${texts.get(owner) ?? ''}${text}`);
    }
    const unused = lists.filter(({ code, package: owner }) => !isUsed(code, texts.get(owner) ?? ''));
    assert.deepEqual(
      unused.map(({ code, file }) => `${code} in ${file}`),
      [],
    );
  });
});

describe('the reader of telemetry', () => {
  const read = (text: string) => scan(['services/a/src/a.ts'], () => text);

  it('finds alternatives of events, levels and spread fields', () => {
    const text =
      "log[bad ? 'error' : 'warn']({ event: full ? 'store.full' : 'store.failing', err, ...more });";
    assert.deepEqual(
      read(text).events.map(({ event, levels, fields }) => ({ event, levels, fields })),
      ['store.failing', 'store.full'].map((event) => ({
        event,
        levels: ['error', 'warn'],
        fields: ['err', '…'],
      })),
    );
  });

  it('a planted event or metric that the document lacks goes red', () => {
    const planted = read(
      "this.#options.log.info({ event: 'attic.opened' }); metrics.gauge('attic', 'Attics');",
    );
    const documented = eventLines(readDocumentedEvents(document));
    assert.ok(!documented.includes(eventLines(planted.events)[0] ?? ''));
    assert.deepEqual(metricLines(planted.metrics), ['attic: gauge']);
    assert.ok(!metricLines(readDocumentedMetrics(document)).includes('attic: gauge'));
  });

  it('an event whose name is computed is not readable', () =>
    assert.equal(read('log.info({ event: `a.${b}` });').unreadable.length, 1));
});
