import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isRepeatable, mayAskNext } from './repeat.ts';

it('only a request whose repetition does no harm goes to a second node', () => {
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) assert.ok(isRepeatable(method, undefined), method);
  assert.equal(isRepeatable('POST', undefined), false);
  assert.equal(isRepeatable('POST', ''), false);
  assert.equal(isRepeatable('POST', 'mine-1'), true);
  assert.deepEqual(
    (['unsent', 'sent', 'begun'] as const).map((progress) => [
      mayAskNext(true, progress),
      mayAskNext(false, progress),
    ]),
    [
      [true, true],
      [true, false],
      [false, false],
    ],
  );
});
