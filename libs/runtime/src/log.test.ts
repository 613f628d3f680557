import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createLog, redactedFields } from './log.ts';

it('secrets never reach a log line, at any depth of the object', () => {
  let output = '';
  const log = createLog('test', 'info', { write: (line: string) => void (output += line) });
  for (const field of redactedFields) {
    log.info({
      event: 'x',
      [field]: 'hunter2',
      a: { [field]: 'hunter2', b: { [field]: 'hunter2', c: { [field]: 'hunter2' } } },
    });
  }
  assert.doesNotMatch(output, /hunter2/);
  assert.equal(output.split('[redacted]').length - 1, redactedFields.length * 4);
});
