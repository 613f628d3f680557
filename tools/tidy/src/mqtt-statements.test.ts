import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { statements } from './mqtt/statements.ts';
import { faultsInTable } from './mqtt/table.ts';
import { readText, trackedFiles } from './repository.ts';

describe('the statements of MQTT 3.1.1', () => {
  it('the gateway’s table has each statement once, with a duty and tests that exist', () => {
    assert.equal(statements.length, 141);
    const context = { statements, files: trackedFiles(), read: readText };
    assert.deepEqual(faultsInTable(readText('services/gateway/README.md'), context), []);
  });

  const file = 'services/gateway/src/broker/adapters/mqtt/a.int.ts';
  const context = {
    statements: ['MQTT-1.1.1-1', 'MQTT-1.1.1-2'],
    files: [file],
    read: () => "it('a second CONNECT closes', () => {}); it(`a ${kind} session keeps its order`, () => {});",
  };
  const row = (statement: string, duty: string, evidence: string) =>
    `| [MQTT-${statement}] | a rule | ${duty} | ${evidence} |\n`;
  const good = row('1.1.1-1', 'server', '`mqtt/a.int.ts`: `a second CONNECT closes`');
  const other = row('1.1.1-2', 'client', 'client');

  it('a complete table has no fault', () => {
    assert.deepEqual(faultsInTable(good + other, context), []);
    const withValue = row('1.1.1-1', 'both', '`mqtt/a.int.ts`: `a clean session keeps its order`');
    assert.deepEqual(faultsInTable(withValue + other, context), []);
  });

  it('a planted gap, repetition or wrong order of statements goes red', () => {
    assert.deepEqual(faultsInTable(good, context), ['the table lacks or misplaces MQTT-1.1.1-2']);
    assert.deepEqual(faultsInTable(good + other + other, context), ['MQTT-1.1.1-2 is one row too many']);
    assert.match(faultsInTable(other + good, context).join(), /lacks or misplaces MQTT-1\.1\.1-1/);
  });

  it('a planted name of a test or file that does not exist goes red', () => {
    const faults = (evidence: string) =>
      faultsInTable(row('1.1.1-1', 'server', evidence) + other, context).join();
    assert.match(faults('`mqtt/a.int.ts`: `a second CONNECT`'), /no test is named "a second CONNECT"/);
    assert.match(faults('`mqtt/b.int.ts`: `a second CONNECT closes`'), /no file "mqtt\/b\.int\.ts"/);
    assert.match(faults('`a second CONNECT closes`'), /no test is named/);
    assert.match(faults('`mqtt/a.int.ts`'), /names no test/);
    assert.match(faults('trust us'), /names no test/);
  });

  it('a duty of the server is not left to the client, and a planted duty goes red', () => {
    assert.match(
      faultsInTable(row('1.1.1-1', 'server', 'client') + other, context).join(),
      /not the client's/,
    );
    assert.match(faultsInTable(row('1.1.1-1', 'nobody', 'client') + other, context).join(), /is no duty/);
  });
});
